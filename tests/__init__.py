"""The tests of bentotask."""

"""What every test may ask for comes from the plugin."""

pytest_plugins = ["tests.plugin"]

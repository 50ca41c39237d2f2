"""Services to run, read and copy.

==========  ===========================================================================
`images`    thumbnails, filters and contact sheets of photographs (needs Pillow)
`text`      keywords and near duplicates of many texts, with progress
`chained`   a task that submits another task
`priority`  urgent work overtakes work that waits
==========  ===========================================================================

Try one without any server installed::

    bentotask serve bentotask.examples.images:ImageService
"""

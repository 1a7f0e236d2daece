"""What this package takes from other libraries beyond their public names, a module for each library.

Another library may rename or change any of it without notice. So it is here and nowhere else, each name with the
reason why the public way is not enough, and each with a test that fails by that name (`pytest -m canary`).
The libraries are imported when a function is called.
"""

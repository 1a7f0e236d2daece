"""All uses of private names of other libraries, one module for each library.

Another library may rename or change any of them without notice. So they are used here only. Each name has the
reason why the public API is not enough, and a test that fails under that name (`pytest -m canary`).
The libraries are imported when a function is called.
"""

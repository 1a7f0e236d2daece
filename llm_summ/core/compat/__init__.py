"""Names of other libraries that are not public: a module for each use, and a canary test for each name."""

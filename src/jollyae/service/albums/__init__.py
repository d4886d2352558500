"""The album put together: what its verbs, its spool and its pages need of each other."""

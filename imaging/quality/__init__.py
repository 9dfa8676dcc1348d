"""Tell pictures that do not show their part properly from those that can be judged."""

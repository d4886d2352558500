"""What can be done with an item: one callable each, ``process(item)``, which returns receipt fields or raises."""

"""Delivery to S3 and what speaks its protocol."""

from .delivery import BucketDelivery, S3Delivery
from .options import OptionError, S3Options, split_url

__all__ = ["BucketDelivery", "OptionError", "S3Delivery", "S3Options", "split_url"]

"""Delivery to Google Cloud Storage (``gs://``) and Azure Blob Storage (``az://``), by obstore (extra ``clouds``)."""

from .delivery import CloudDelivery
from .places import Cloud, open_cloud, split_url

__all__ = ["Cloud", "CloudDelivery", "open_cloud", "split_url"]

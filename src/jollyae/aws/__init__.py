"""A processor as an AWS Lambda function.

>>> from jollyae import aws
>>> handler = aws.lambda_handler(lambda item: None)

What it promises is told by :class:`.handler.Handler`; how it is deployed, by docs/LAMBDA.md. Nothing but the standard
library is loaded with it, and boto3 when the first object is fetched.
"""

from .fetching import FetchedItem
from .handler import Handler, lambda_handler
from .invocation import EventError

__all__ = ["EventError", "FetchedItem", "Handler", "lambda_handler"]

"""Renditions of the photos that arrive in a bucket, as an AWS Lambda function.

For the object KEY two JPEGs are put into the bucket RENDITIONS: ``medium/KEY.HASH.jpg`` and ``thumb/KEY.HASH.jpg``,
HASH being the first 16 hexadecimal digits of the photo's SHA-256. So the names are a function of what the photo is: a
repeat finds its own work there and changes nothing, and a photo that was replaced gets new ones.
"""

import os
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from jollyae import Permanent, Temporary, aws
from jollyae.processors.photo import Pictures

RENDITIONS = os.environ["RENDITIONS"]
SECONDS = 40.0
"""That one photo may take; below the function's timeout."""

pictures = Pictures(seconds=SECONDS)
"""Each photo is decoded in a child process: what a damaged one does, it does there."""
store = boto3.client("s3", config=Config(retries={"mode": "standard", "total_max_attempts": 3}))


async def renditions(item: aws.FetchedItem) -> dict[str, Any]:
    """Make them and put them where they belong. Raises Permanent for what is no picture, Temporary for what may go well
    the next time."""
    picture = await pictures.read(item.fd, item.key, item.mtime)
    if picture.trouble:  # a video, or a raw file without a preview
        print(f"no renditions of {item.url}: {picture.trouble}")
    made = {
        name: put(f"{name}/{item.key}.{picture.sha256[:16]}.jpg", data) for name, data in picture.renditions.items()
    }
    return {"renditions": made}


def put(key: str, data: bytes) -> str:
    """Put one, unless it is there."""
    try:
        store.put_object(Bucket=RENDITIONS, Key=key, Body=data, ContentType="image/jpeg", IfNoneMatch="*")
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "ConditionalRequestConflict":
            raise Temporary(f"another call is putting {key}", reason="collision") from error
        if code == "KeyTooLongError":
            raise Permanent(f"the key is too long for renditions: {key}", hint="Shorten it.", reason="key") from error
        if code != "PreconditionFailed":
            raise
    return key


handler = aws.lambda_handler(renditions, margin=SECONDS + 5, largest=200 << 20)

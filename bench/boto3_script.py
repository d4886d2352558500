"""The script that people write: every file of a directory to S3, boto3 in 16 threads.

boto3_script.py DIRECTORY BUCKET PREFIX ENDPOINT
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config


def main(directory: str, bucket: str, prefix: str, endpoint: str) -> None:
    """Send them all."""
    client = boto3.client("s3", endpoint_url=endpoint, config=Config(max_pool_connections=16))

    def upload(name: str) -> None:
        client.upload_file(os.path.join(directory, name), bucket, f"{prefix}/{name}")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(upload, os.listdir(directory)))


if __name__ == "__main__":
    main(*sys.argv[1:])

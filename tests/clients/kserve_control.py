"""
Run by KServe's own interpreter: what its REST client makes of a server's health, as JSON.

    python kserve_control.py URL
"""

import asyncio
import json
import sys

from kserve import InferenceRESTClient, RESTConfig


async def main() -> None:
    (url,) = sys.argv[1:]
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        found = {
            "live": await client.is_server_live(url),
            "ready": await client.is_server_ready(url),
            "toy": await client.is_model_ready(url, "toy"),
            "nobody": await client.is_model_ready(url, "nobody"),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main())

"""One call of an arm, and the end of the process: first_answer.py ARM.py (environment: MOCK_PORT, CONC)."""

import asyncio
import importlib
import os
import sys

sys.path[0], name = os.path.split(os.path.abspath(sys.argv[1]))
arm = importlib.import_module(name.removesuffix(".py"))


async def main() -> None:
    text = await arm.one()
    os._exit(0 if text.startswith("An orchestra tunes") else 1)


asyncio.run(main())

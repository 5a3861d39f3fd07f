#!/usr/bin/env python3
"""Puts an XMPP server (Prosody, ejabberd, Openfire) behind a Fernpost gateway, as an external component (XEP-0114).

    xmpp_connector.py setup --component rooms.example --component-secret S      prints what the servers need
    xmpp_connector.py run --component rooms.example --component-secret S --xmpp 127.0.0.1:5347 \\
        --gateway http://127.0.0.1:9881 --listen 127.0.0.1:7000 --secret-file push.secret --peers blue.example --data FILE

The room garden@rooms.example is the context #garden. It needs slixmpp: apt-get install python3-slixmpp, or pip install slixmpp.
"""

import argparse
import asyncio
import logging
import sys
import threading

from messenger import GatewayClient, PushListener, read_secrets


def run(given):
    from xmpp.connector import Connector

    token = open(given.token_file, encoding="utf-8").read().strip() if given.token_file else None
    gateway = GatewayClient(given.gateway, token)
    peers = [peer.strip() for peer in given.peers.split(",") if peer.strip()]
    secrets = read_secrets(given.secret_file) if given.secret_file else []
    if not secrets:
        logging.warning("without --secret-file every process that reaches %s can speak as the gateway", given.listen)

    async def serve():
        connector = Connector(gateway, peers, given.component, given.component_secret, given.xmpp, given.data)
        listener = PushListener(given.listen, "/fernpost", secrets, connector)
        running = asyncio.create_task(connector.run())
        await asyncio.sleep(0)  # it has a loop now, which the threads of the listener need
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        try:
            await connector.call("POST", "/v1/ping")
        except OSError as error:
            logging.warning("the gateway is not reachable yet: %s", error)
        logging.info("the gateway's pushes are taken at %s", given.listen)
        await running

    try:
        asyncio.run(serve())
    except KeyboardInterrupt:
        pass


def setup(given):
    host, _, port = given.xmpp.rpartition(":")
    print(f'-- Prosody: put this into /etc/prosody/conf.d/fernpost.cfg.lua, and restart it.\n'
          f'Component "{given.component}"\n    component_secret = "{given.component_secret}"')
    if given.xmpp != "127.0.0.1:5347":
        print(f'-- And above the first VirtualHost of /etc/prosody/prosody.cfg.lua:\n'
              f'-- component_interfaces = {{ "{host}" }}; component_ports = {{ {port} }}')
    print(f'fernpost.toml needs:\n[messenger]\n'
          f'push = {{ url = "http://{given.listen}/fernpost", secret_file = "{given.secret_file or "push.secret"}" }}',
          file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, act in (("run", run), ("setup", setup)):
        command = commands.add_parser(name)
        command.set_defaults(act=act)
        command.add_argument("--gateway", default="http://127.0.0.1:9881", help="its messenger API")
        command.add_argument("--token-file", help="its bearer token")
        command.add_argument("--listen", default="127.0.0.1:7000", help="where the gateway pushes to")
        command.add_argument("--secret-file", help="the secret of its signatures, as messenger.push.secret_file")
        command.add_argument("--component", required=True, metavar="DOMAIN")
        command.add_argument("--component-secret", required=True)
        command.add_argument("--xmpp", default="127.0.0.1:5347", metavar="HOST:PORT", help="where the XMPP server takes components")
        command.add_argument("--peers", required=name == "run", help="servers that take part in every room, with commas between")
        command.add_argument("--data", required=name == "run", help="the file that keeps its state")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("slixmpp").setLevel(logging.CRITICAL)
    given.act(given)


if __name__ == "__main__":
    main()

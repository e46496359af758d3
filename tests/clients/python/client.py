"""A client of vdom as any Python program would be: grpcio, and code generated
from the published contract when it starts.

    client.py verify --target HOST:PORT --repo REPO --dir DIR
    client.py subscribe --target HOST:PORT --repo REPO --count N
    client.py write --target HOST:PORT --repo REPO PATH CONTENT

With --unix PATH instead of --target, calls go over a unix socket. Exit code 0:
done; 1: something differs or was refused, and one line on stderr says what.
"""

import argparse
import json
import pathlib
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_tools import protoc

CONTRACT = pathlib.Path(__file__).resolve().parents[3] / "proto"
# Larger contents do not come with a tree.
INLINE_MAX_BYTES = 1 << 20
# Larger contents do not fit a unary answer.
UNARY_MAX_BYTES = 3 << 20
PARALLEL_READS = 16


def generate(folder):
    """Generates the client's code into `folder`, and imports it."""
    well_known = str(pathlib.Path(protoc.__file__).parent / "_proto")
    code = protoc.main(
        [
            "protoc",
            f"-I{CONTRACT}",
            f"-I{well_known}",
            f"--python_out={folder}",
            f"--grpc_python_out={folder}",
            str(CONTRACT / "virtualdom/v1/dom.proto"),
        ]
    )
    if code != 0:
        sys.exit("client.py: the contract cannot be compiled")
    sys.path.insert(0, folder)
    from virtualdom.v1 import dom_pb2, dom_pb2_grpc

    return dom_pb2, dom_pb2_grpc


class Client:
    """Calls on one branch."""

    def __init__(self, arguments, messages, services):
        target = f"unix:{arguments.unix}" if arguments.unix else arguments.target
        options = [("grpc.max_receive_message_length", 8 << 20)]
        if arguments.unix:
            # grpcio names the socket's path as :authority, which HTTP/2 does not allow.
            options.append(("grpc.default_authority", "localhost"))
        self.channel = grpc.insecure_channel(target, options=options)
        self.stub = services.MemoryGatewayStub(self.channel)
        self.messages = messages
        self.timeout = arguments.timeout
        self.place = {"repo": arguments.repo, "branch": arguments.branch}
        token = arguments.token
        self.metadata = [("authorization", f"Bearer {token}")] if token else []

    def options(self):
        return {"metadata": self.metadata, "timeout": self.timeout}

    def tree(self):
        """The entries of the whole tree, with contents up to 1 MiB."""
        request = self.messages.ReadTreeRequest(include_content=True, **self.place)
        return list(self.stub.ReadTree(request, **self.options()))

    def read(self, path, revision):
        """A content, and which call brought it."""
        request = self.messages.ReadSnapshotRequest(
            path=path, min_revision=revision, **self.place
        )
        return self.stub.ReadSnapshot(request, **self.options()).content

    def read_stream(self, path, revision):
        """A content of any size."""
        request = self.messages.ReadSnapshotRequest(
            path=path, min_revision=revision, **self.place
        )
        chunks = list(self.stub.ReadSnapshotStream(request, **self.options()))
        content = b"".join(chunk.content for chunk in chunks)
        if chunks[0].size_bytes != len(content):
            raise Differs(f"{path}: {chunks[0].size_bytes} bytes announced, {len(content)} came")
        return content


class Differs(Exception):
    """What was read is not what was expected."""


def verify(client, arguments):
    """Reads every file of a folder back in every way there is."""
    root = pathlib.Path(arguments.dir)
    files = {
        path.relative_to(root).as_posix(): path
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink()
    }
    entries = {entry.path: entry for entry in client.tree()}
    if missing := sorted(files.keys() - entries.keys()):
        raise Differs(f"{len(missing)} files are not in the tree, such as {missing[0]}")
    if extra := sorted(entries.keys() - files.keys()):
        raise Differs(f"{len(extra)} nodes are no files, such as {extra[0]}")

    def check(path):
        content, entry = files[path].read_bytes(), entries[path]
        copies = {"ReadSnapshotStream": client.read_stream(path, entry.revision)}
        if len(content) <= UNARY_MAX_BYTES:
            copies["ReadSnapshot"] = client.read(path, entry.revision)
        if not entry.content_omitted:
            copies["ReadTree"] = entry.content
        elif len(content) <= INLINE_MAX_BYTES:
            raise Differs(f"{path}: {len(content)} bytes were left out of the tree")
        for call, copy in copies.items():
            if copy != content:
                raise Differs(f"{path}: {call} brought {len(copy)} other bytes")
        return len(content)

    with ThreadPoolExecutor(PARALLEL_READS) as pool:
        sizes = list(pool.map(check, files))
    print(json.dumps({"files": len(sizes), "bytes": sum(sizes)}))


def subscribe(client, arguments):
    """Prints changes, one JSON object a line, after a line that says from where."""
    request = client.messages.SubscribeRequest(
        from_epoch=arguments.from_epoch,
        from_revision=arguments.from_revision,
        include_diffs=True,
        **client.place,
    )
    types = client.messages.ChangeEvent.Type
    seen, announced = 0, False
    for event in client.stub.SubscribeChanges(request, **client.options()):
        kind = types.Name(event.type).removeprefix("TYPE_").lower()
        line = {"type": kind, "epoch": event.epoch, "revision": event.revision}
        if kind == "progress":
            # Once: whoever reads this knows that nothing is missed from here on.
            if seen == 0 and not announced:
                announced = True
                print(json.dumps(line), flush=True)
            continue
        line |= {
            "path": event.path,
            "old_path": event.old_path,
            "author": event.author,
            "version": event.version,
            "node_id": event.node_id.hex(),
            "diff_bson": event.diff_bson.hex(),
        }
        print(json.dumps(line), flush=True)
        seen += 1
        if seen == arguments.count:
            return
    raise Differs(f"the stream ended after {seen} of {arguments.count} changes")


def write(client, arguments):
    """Puts a content, whatever is there."""
    content = arguments.content.encode()
    request = client.messages.WriteDiffRequest(
        path=arguments.path,
        diff_bson=put(content),
        on_conflict=client.messages.ON_CONFLICT_OVERWRITE,
        **client.place,
    )
    answer = client.stub.WriteDiff(request, **client.options())
    if not answer.success:
        raise Differs(f"a conflict: {answer.conflict}")
    print(
        json.dumps(
            {
                "epoch": answer.epoch,
                "revision": answer.revision,
                "version": answer.new_version,
                "node_id": answer.node_id.hex(),
            }
        )
    )


def put(content):
    """`{t: "put", v: <content>}` as BSON."""
    value = b"\x05v\0" + len(content).to_bytes(4, "little") + b"\0" + content
    body = b"\x02t\0\x04\0\0\0put\0" + value + b"\0"
    return (len(body) + 4).to_bytes(4, "little") + body


def arguments():
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--target", default="127.0.0.1:50151", help="HOST:PORT")
    shared.add_argument("--unix", help="path of a unix socket")
    shared.add_argument("--token")
    shared.add_argument("--repo", required=True)
    shared.add_argument("--branch", default="main")
    shared.add_argument("--timeout", type=float, default=60, help="seconds")
    parser = argparse.ArgumentParser(prog="client.py")
    verbs = parser.add_subparsers(required=True)
    verb = verbs.add_parser("verify", parents=[shared])
    verb.add_argument("--dir", required=True)
    verb.set_defaults(run=verify)
    verb = verbs.add_parser("subscribe", parents=[shared])
    verb.add_argument("--count", type=int, required=True)
    verb.add_argument("--from-epoch", type=int, default=0)
    verb.add_argument("--from-revision", type=int, default=0)
    verb.set_defaults(run=subscribe)
    verb = verbs.add_parser("write", parents=[shared])
    verb.add_argument("path")
    verb.add_argument("content")
    verb.set_defaults(run=write)
    return parser.parse_args()


def main():
    chosen = arguments()
    with tempfile.TemporaryDirectory() as folder:
        client = Client(chosen, *generate(folder))
        try:
            chosen.run(client, chosen)
        except Differs as difference:
            sys.exit(f"client.py: {difference}")
        except grpc.RpcError as refusal:
            sys.exit(f"client.py: {refusal.code().name}: {refusal.details()}")
        finally:
            client.channel.close()


if __name__ == "__main__":
    main()

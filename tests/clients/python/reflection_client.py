"""A client that knows an address and a token, and has the contract from gRPC reflection,
as grpcurl has. Settings: VDOM_TARGET, VDOM_REPO (a new one), VDOM_WRITER and
VDOM_READER (tokens)."""

import os
import unittest

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from grpc_status import rpc_status

SERVICE = "virtualdom.v1.MemoryGateway"
BRANCH = {"repo": os.environ["VDOM_REPO"], "branch": "main"}
TIMEOUT_SECONDS = 20


class Reflected(unittest.TestCase):
    """Calls by names and fields, with nothing generated."""

    def setUp(self):
        self.channel = grpc.insecure_channel(os.environ["VDOM_TARGET"])
        self.addCleanup(self.channel.close)
        self.database = ProtoReflectionDescriptorDatabase(self.channel)
        self.pool = descriptor_pool.DescriptorPool(self.database)

    def call(self, method, fields, token="VDOM_WRITER"):
        """A unary answer, or the messages of a stream as they come."""
        described = self.pool.FindMethodByName(f"{SERVICE}.{method}")
        request = message_factory.GetMessageClass(described.input_type)(**fields)
        answer = message_factory.GetMessageClass(described.output_type)
        arity = "unary_stream" if described.server_streaming else "unary_unary"
        prepared = getattr(self.channel, arity)(
            f"/{SERVICE}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        metadata = [("authorization", f"Bearer {os.environ[token]}")] if token else []
        return prepared(request, metadata=metadata, timeout=TIMEOUT_SECONDS)

    def refused(self, method, fields, token="VDOM_WRITER"):
        """Code, message, and the `ErrorInfo` of a call that must fail."""
        with self.assertRaises(grpc.RpcError) as caught:
            self.call(method, fields, token)
        status = rpc_status.from_call(caught.exception)
        self.assertIsNotNone(status, "a refusal without details")
        info = error_details_pb2.ErrorInfo()
        self.assertTrue(any(detail.Unpack(info) for detail in status.details))
        return caught.exception.code(), caught.exception.details(), info

    def write(self, path, content):
        value = b"\x05v\0" + len(content).to_bytes(4, "little") + b"\0" + content
        body = b"\x02t\0\x04\0\0\0put\0" + value + b"\0"
        diff = (len(body) + 4).to_bytes(4, "little") + body
        return self.call("WriteDiff", {**BRANCH, "path": path, "diff_bson": diff})

    def test_services_are_listed(self):
        services = self.database.get_services()
        self.assertIn(SERVICE, services)
        self.assertIn("grpc.health.v1.Health", services)

    def test_a_service_and_its_messages_are_described(self):
        service = self.pool.FindServiceByName(SERVICE)
        methods = {method.name: method for method in service.methods}
        self.assertFalse(methods["WriteDiff"].server_streaming)
        self.assertTrue(methods["SubscribeChanges"].server_streaming)
        fields = methods["WriteDiff"].input_type.fields_by_name
        self.assertEqual(fields["operation_id"].number, 11)
        # What another file describes comes with it.
        timestamp = self.pool.FindMessageTypeByName("google.protobuf.Timestamp")
        answer = methods["WriteDiff"].output_type.fields_by_name["timestamp"]
        self.assertEqual(answer.message_type.full_name, timestamp.full_name)

    def test_a_unary_call_and_a_stream(self):
        written = self.write("stream/0", b"zero")
        self.assertTrue(written.success)
        start = {"from_epoch": written.epoch, "from_revision": written.revision}
        stream = self.call("SubscribeChanges", {**BRANCH, **start})
        expected = [self.write(f"stream/{number}", b"more").revision for number in (1, 2)]
        changes = (event for event in stream if event.path)
        self.assertEqual([next(changes).revision for _ in expected], expected)
        stream.cancel()

    def test_a_refusal_says_what_was_wrong(self):
        absent = {**BRANCH, "path": "nowhere"}
        self.write("somewhere", b"x")
        code, message, info = self.refused("ReadSnapshot", absent)
        self.assertEqual(code, grpc.StatusCode.NOT_FOUND)
        self.assertIn("nowhere", message)
        self.assertEqual((info.domain, info.reason), ("virtualdom.v1", "NotFound"))

    def test_a_right_that_is_missing_is_named(self):
        new = {**BRANCH, "branch": "other"}
        code, message, info = self.refused("CreateBranch", new, "VDOM_READER")
        self.assertEqual(code, grpc.StatusCode.PERMISSION_DENIED)
        self.assertIn("dom.write", message)
        self.assertEqual(info.reason, "PermissionDenied")
        code, _, info = self.refused("CreateBranch", new, None)
        self.assertEqual(code, grpc.StatusCode.UNAUTHENTICATED)
        self.assertEqual(info.reason, "Unauthenticated")


if __name__ == "__main__":
    unittest.main()

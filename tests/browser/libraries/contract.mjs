// The contract as a page has it that nobody generated code for: from descriptors.

import { create, createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import {
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
} from "@bufbuild/protobuf/wkt";

/** `google.rpc.ErrorInfo` without its metadata: what a refusal says beside code and message. */
const ERROR_DETAILS = create(FileDescriptorProtoSchema, {
  name: "google/rpc/error_details.proto",
  package: "google.rpc",
  syntax: "proto3",
  messageType: [
    {
      name: "ErrorInfo",
      field: ["reason", "domain"].map((name, index) => ({
        name,
        jsonName: name,
        number: index + 1,
        type: Type.STRING,
        label: Label.OPTIONAL,
      })),
    },
  ],
});

/** Service and messages of the descriptors at this URL. */
export async function contract(url) {
  const bytes = new Uint8Array(await (await fetch(url)).arrayBuffer());
  const files = fromBinary(FileDescriptorSetSchema, bytes);
  files.file.push(ERROR_DETAILS);
  const registry = createFileRegistry(files);
  return {
    service: registry.getService("virtualdom.v1.MemoryGateway"),
    errorInfo: registry.getMessage("google.rpc.ErrorInfo"),
  };
}

/** The fields of a `WriteDiffRequest` that puts a text at a path. */
export function put(branch, path, text) {
  const content = new TextEncoder().encode(text);
  // {t: "put", v: <content>} as BSON.
  const diff = new DataView(new ArrayBuffer(content.length + 24));
  const bytes = new Uint8Array(diff.buffer);
  diff.setInt32(0, bytes.length, true);
  bytes.set(new TextEncoder().encode("\x02t\0\x04\0\0\0put\0\x05v\0"), 4);
  diff.setInt32(18, content.length, true);
  bytes.set(content, 23);
  return { ...branch, path, diffBson: bytes };
}

export function equal(actual, expected, what) {
  if (actual !== expected) throw new Error(`${what}: ${actual}, not ${expected}`);
}

export function holds(condition, what) {
  if (!condition) throw new Error(what);
}

/** The first of a live stream that fits. */
export async function first(messages, fits) {
  for await (const message of messages) {
    if (fits(message)) return message;
  }
  throw new Error("the stream ended");
}

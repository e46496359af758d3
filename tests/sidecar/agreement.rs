//! After every kind of change, what the sidecar has in memory is what the gateway
//! answers.

use bytes::Bytes;
use vdom_core::NodePath;
use vdom_core::document::DocumentBuilder;
use vdom_core::dom::diff::{Diff, TextOperation};
use vdom_proto::v1;
use vdom_testkit::client::Client;
use vdom_testkit::gateway::TestGateway;
use vdom_testkit::sidecar::TestSidecar;

/// How many edits are made.
const STEPS: u32 = 300;
/// What the edits are drawn from; any number gives another course of events.
const SEED: u64 = 0x5eed;

/// A small generator of numbers, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_agrees_with_the_gateway_after_every_kind_of_change() {
    let gateway = TestGateway::start().await;
    let sidecar = TestSidecar::start(&gateway.grpc_url()).await;
    let mut direct = gateway.client().await;
    let mut cached = Client::connect(&sidecar.url(), None).await;
    let mut numbers = Numbers(SEED);
    let mut from_memory = 0;
    for step in 0..STEPS {
        let path = format!("node-{}", numbers.below(6));
        let request = edit(&mut direct, &mut numbers, &path, step).await;
        let written = direct.write(request).await.expect("written");
        assert!(written.success, "step {step}: {written:?}");
        for number in 0..6 {
            let path = format!("node-{number}");
            let expected = direct.read_after(&path, &written).await;
            let answered = cached.read_after(&path, &written).await;
            match (expected, answered) {
                (Ok(mut expected), Ok(mut answered)) => {
                    let freshness = answered.freshness.take().expect("it says how fresh it is");
                    from_memory += u32::from(freshness.source() == v1::freshness::Source::Cache);
                    expected.freshness = None;
                    assert_eq!(answered, expected, "step {step}, {path}");
                }
                (Err(expected), Err(answered)) => {
                    assert_eq!(answered.code(), expected.code(), "step {step}, {path}");
                    assert_eq!(answered.code(), tonic::Code::NotFound, "step {step}, {path}");
                }
                (expected, answered) => {
                    panic!("step {step}, {path}: {answered:?} instead of {expected:?}")
                }
            }
        }
    }
    assert!(from_memory > STEPS, "only {from_memory} answers came from memory");
    sidecar.sidecar.drain().await;
    gateway.gateway.drain().await.expect("drained");
}

/// Some edit that can be made of what is at the path.
async fn edit(
    client: &mut Client,
    numbers: &mut Numbers,
    path: &str,
    step: u32,
) -> v1::WriteDiffRequest {
    let Ok(node) = client.read(path).await else {
        // Text, or a document: what is there decides what can be edited later.
        let text = client.put_request(path, format!("made in step {step}\n").as_bytes());
        return match numbers.below(2) {
            0 => text,
            _ => v1::WriteDiffRequest {
                kind: v1::NodeKind::Meta.into(),
                diff_bson: Diff::put_document(&document(step)),
                ..text
            },
        };
    };
    let is_text = node.kind() == v1::NodeKind::File;
    let length = node.content.len() as u64;
    let diff = match numbers.below(6) {
        0 if is_text => Diff::put_file(format!("put in step {step}\n").as_bytes()),
        0 => Diff::put_document(&document(step)),
        1 | 2 if is_text => {
            let line = format!("edited in step {step}\n");
            Diff::text(&[TextOperation::Retain(length), TextOperation::insert(&line)])
        }
        1 | 2 => replace_number(step),
        3 => Diff::attributes([("step", step.to_string().as_str())], []).expect("valid"),
        4 => Diff::rename(&free(client).await, None),
        _ => Diff::delete(),
    };
    v1::WriteDiffRequest {
        node_id: node.node_id,
        vector_clock: node.vector_clock,
        path: String::new(),
        diff_bson: diff,
        ..client.put_request(path, b"")
    }
}

/// A path at which nothing is: one of those that are looked at, where there is
/// one.
async fn free(client: &mut Client) -> NodePath {
    let watched = (0..6).map(|number| format!("node-{number}"));
    for path in watched.chain((0..).map(|number| format!("elsewhere-{number}"))) {
        if client.read(&path).await.is_err() {
            return NodePath::parse(&path).expect("valid");
        }
    }
    unreachable!("there is always another number")
}

fn document(step: u32) -> Bytes {
    let mut document = DocumentBuilder::new();
    document.append_i64("step", i64::from(step));
    document.append_str("by", "test");
    document.finish()
}

/// `{t: "patch", ops: [{op: "replace", path: "/step", value: step}]}`.
fn replace_number(step: u32) -> Bytes {
    let mut operation = DocumentBuilder::new();
    operation.append_str("op", "replace");
    operation.append_str("path", "/step");
    operation.append_i64("value", i64::from(step));
    let mut operations = DocumentBuilder::new();
    operations.append_document("0", &operation.finish());
    let mut diff = DocumentBuilder::new();
    diff.append_str("t", "patch");
    diff.append_array("ops", &operations.finish());
    diff.finish()
}

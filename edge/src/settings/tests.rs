//! Settings from files, environment and flags.

use std::time::Duration;

use serde::Deserialize;

use super::*;

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
struct Settings {
    dev: bool,
    listen: Listen,
    cache: Cache,
    realms: Vec<Realm>,
    level: Option<u8>,
    mode: Mode,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
struct Listen {
    grpc: String,
    origins: Vec<String>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
struct Cache {
    max: ByteSize,
    idle: Interval,
    socket: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
struct Realm {
    name: String,
    nodes: u32,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Human,
    Json,
}

fn file(extension: &str, text: &str) -> (tempfile::TempDir, Sources) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(format!("gateway.{extension}"));
    std::fs::write(&path, text).expect("written");
    let sources = Sources { file: Some(path), prefix: "VDOM".to_owned(), ..Sources::default() };
    (folder, sources)
}

fn refusal(sources: &Sources) -> String {
    load::<Settings>(sources).expect_err("refused").message
}

const TOML: &str = r#"
dev = true
[listen]
grpc = "127.0.0.1:50051"
[cache]
max = "64MiB"
idle = "10s"
[[realms]]
name = "a"
nodes = 5
"#;

const YAML: &str = r#"
dev: true
listen:
  grpc: "127.0.0.1:50051"
cache: { max: 64MiB, idle: 10s }
realms:
  - name: a
    nodes: 5
"#;

#[test]
fn toml_and_yaml_say_the_same() {
    let (_toml, toml) = file("toml", TOML);
    let (_yaml, yaml) = file("yaml", YAML);
    let settings: Settings = load(&toml).expect("settings");
    assert_eq!(settings, load(&yaml).expect("settings"));
    assert_eq!(settings.cache.max, ByteSize(64 << 20));
    assert_eq!(settings.cache.idle, Interval(Duration::from_secs(10)));
    assert_eq!(settings.realms, [Realm { name: "a".to_owned(), nodes: 5 }]);
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let (_folder, mut sources) = file("toml", TOML);
    sources.environment = vec![
        ("VDOM_LISTEN__GRPC".to_owned(), "from environment".to_owned()),
        ("VDOM_LISTEN__ORIGINS".to_owned(), "https://a, https://b".to_owned()),
        ("VDOM_CACHE__MAX".to_owned(), "1GiB".to_owned()),
        ("VDOM__LEVEL".to_owned(), "7".to_owned()),
        ("VDOM__MODE".to_owned(), "json".to_owned()),
        ("VDOM_TOKEN".to_owned(), "no setting".to_owned()),
        ("PATH".to_owned(), "/bin".to_owned()),
    ];
    sources.flags = BTreeMap::from([
        ("listen.grpc".to_owned(), "from flag".to_owned()),
        ("dev".to_owned(), "false".to_owned()),
        ("cache.socket".to_owned(), "/run/vdom.sock".to_owned()),
    ]);
    let settings: Settings = load(&sources).expect("settings");
    assert_eq!(settings.listen.grpc, "from flag");
    assert_eq!(settings.listen.origins, ["https://a", "https://b"]);
    assert_eq!(settings.cache.max, ByteSize(1 << 30));
    assert_eq!(settings.cache.socket, Some(PathBuf::from("/run/vdom.sock")));
    assert_eq!((settings.level, settings.mode, settings.dev), (Some(7), Mode::Json, false));
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_the_nearest_name() {
    let (_folder, sources) = file("toml", "[listen]\ngprc = \"x\"\n");
    let message = refusal(&sources);
    assert!(message.contains("gateway.toml"), "{message}");
    assert!(message.contains("unknown key `listen.gprc`"), "{message}");
    assert!(message.contains("did you mean `listen.grpc`?"), "{message}");

    let (_folder, sources) = file("yaml", "realms:\n  - name: a\n  - nmae: b\n");
    let message = refusal(&sources);
    assert!(message.contains("unknown key `realms[1].nmae`"), "{message}");
    assert!(message.contains("did you mean `realms[1].name`?"), "{message}");

    let environment = vec![("VDOM_CACHE__MAXI".to_owned(), "1".to_owned())];
    let sources = Sources { environment, prefix: "VDOM".to_owned(), ..Sources::default() };
    let message = refusal(&sources);
    assert!(message.starts_with("environment variable VDOM_CACHE__MAXI"), "{message}");

    let flags = BTreeMap::from([("lisen.grpc".to_owned(), "x".to_owned())]);
    let message = refusal(&Sources { flags, ..Sources::default() });
    assert!(message.starts_with("flag lisen.grpc: unknown key `lisen`"), "{message}");
    assert!(message.contains("did you mean `listen`?"), "{message}");
}

#[test]
fn a_value_of_the_wrong_type_names_its_key_and_what_is_needed() {
    for (text, parts) in [
        ("[cache]\nmax = \"many\"\n", ["`cache.max`", "is no size"]),
        ("[cache]\nidle = \"soon\"\n", ["`cache.idle`", "is no duration"]),
        ("dev = \"perhaps\"\n", ["`dev`", "expected a boolean"]),
        ("level = 900\n", ["`level`", "expected u8"]),
        ("mode = \"loud\"\n", ["`mode`", "expected `human` or `json`"]),
        ("listen = 5\n", ["`listen`", "expected struct Listen"]),
        ("[[realms]]\nnodes = -1\n", ["`realms[0].nodes`", "expected u32"]),
    ] {
        let (_folder, sources) = file("toml", text);
        let message = refusal(&sources);
        assert!(parts.iter().all(|part| message.contains(part)), "{text}: {message}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let missing =
        Sources { file: Some(PathBuf::from("/nonexistent/a.toml")), ..Sources::default() };
    assert!(refusal(&missing).contains("/nonexistent/a.toml"));
    let (_folder, broken) = file("toml", "= nonsense");
    assert!(refusal(&broken).contains("gateway.toml"));
    let (_folder, other) = file("ini", "");
    assert!(refusal(&other).contains(".toml, .yaml or .yml"));
    let (_folder, empty) = file("yaml", "");
    assert_eq!(load::<Settings>(&empty), Ok(Settings::default()));
}

#[test]
fn sizes_and_durations_are_written_as_they_are_read() {
    for (text, bytes) in [("512", 512), ("64MiB", 64 << 20), ("100 MB", 100_000_000), ("0", 0)] {
        let size: ByteSize = text.parse().expect("a size");
        assert_eq!(size, ByteSize(bytes));
        assert_eq!(size.to_string().parse(), Ok(size));
    }
    for bad in ["", "MiB", "-1", "1.5GB", "99999999TiB", "5 parsecs"] {
        assert!(bad.parse::<ByteSize>().is_err(), "{bad}");
    }
    assert_eq!(Interval(Duration::from_millis(1_500)).to_string(), "1s 500ms");
}

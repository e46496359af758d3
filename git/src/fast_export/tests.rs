//! Streams as git writes them, cut off anywhere, garbled, and hostile.

use super::*;
use crate::fast_import::FastImportWriter;

const STREAM: &[u8] = b"feature done
# a comment
blob
mark :1
original-oid 7448d8798a4380162d4b56f9b452e2f6f9e24e7a
data 3
a\n
reset refs/heads/main
commit refs/heads/main
mark :2
original-oid 9223a7da1efd7ef7266fefad8ba66876ada0429e
author J\xf6rg <j@x> 1795241880 +0100
committer Ann <a@x> 1795241881 -0330
gpgsig sha1 openpgp
data 4
SIG
encoding ISO-8859-1
data 8
Gr\xfc\xdfe\n\n
M 100644 :1 a
M 100755 inline \"sp ace\\n\\377\"
data 2
#!
M 120000 7448d8798a4380162d4b56f9b452e2f6f9e24e7a li nk

commit refs/heads/main
mark :3
committer Ann <a@x> 1795241882 +0000
data <<END
two
lines
END
from :2
merge 9223a7da1efd7ef7266fefad8ba66876ada0429e
D a
R \"sp ace\\n\\377\" b c
C b \"d\"
deleteall
N inline :2
data 0
tag v1
mark :4
from :3
original-oid aa
tagger Ann <a@x> 1 +0000
data 1
x
alias
mark :5
to :4

progress half
option git quiet
checkpoint
reset refs/heads/gone
from 0000000000000000000000000000000000000000

done
after the end";

fn read_all(stream: &[u8]) -> Result<Vec<StreamCommand>, FastExportError> {
    let mut reader = FastExportReader::new(stream, FastExportLimits::default());
    let mut commands = Vec::new();
    while let Some(command) = reader.read()? {
        commands.push(command);
    }
    Ok(commands)
}

fn refused(stream: &[u8]) -> FastExportError {
    read_all(stream).expect_err("refused")
}

#[test]
fn a_stream_is_read_as_it_was_meant() {
    let commands = read_all(STREAM).expect("valid");
    assert_eq!(commands.len(), 12, "{commands:#?}");
    let StreamCommand::Commit(first) = &commands[3] else { panic!("{commands:#?}") };
    assert_eq!(first.author.as_deref(), Some(b"J\xf6rg <j@x> 1795241880 +0100".as_slice()));
    assert_eq!(first.encoding.as_deref(), Some(b"ISO-8859-1".as_slice()));
    assert_eq!(first.message.as_ref(), b"Gr\xfc\xdfe\n\n\n");
    assert_eq!(first.signatures[0].data.as_ref(), b"SIG\n");
    let executable = FileChange::Modify {
        mode: FileMode::Executable,
        content: ContentSource::Inline(Bytes::from_static(b"#!")),
        path: Bytes::from_static(b"sp ace\n\xff"),
    };
    assert_eq!(first.changes[1], executable);
    let StreamCommand::Commit(second) = &commands[4] else { panic!("{commands:#?}") };
    assert_eq!(second.message.as_ref(), b"two\nlines\n");
    assert_eq!((&second.from, second.merges.len()), (&Some(ObjectName::Mark(2)), 1));
    let renamed = FileChange::Rename {
        from: Bytes::from_static(b"sp ace\n\xff"),
        to: Bytes::from_static(b"b c"),
    };
    assert_eq!(second.changes[1], renamed);
    assert_eq!(second.changes.len(), 5);
}

#[test]
fn what_is_written_is_read_again() {
    let commands = read_all(STREAM).expect("valid");
    let mut written = Vec::new();
    let mut writer = FastImportWriter::new(&mut written);
    for command in &commands {
        writer.write(command).expect("written");
    }
    assert_eq!(read_all(&written).expect("valid"), commands);
}

#[test]
fn a_stream_cut_off_anywhere_says_so() {
    let end = STREAM.len() - b"\nafter the end".len();
    // Up to there the stream has not promised a `done`.
    let promise = b"feature done\n".len();
    for length in 1..end {
        if length == promise {
            continue;
        }
        let read = read_all(&STREAM[..length]);
        let error = if length < promise {
            read.expect_err("half a line")
        } else {
            read.expect_err("no `done`")
        };
        assert!(error.offset <= length as u64, "cut at {length}: {error}");
    }
}

#[test]
fn no_garbled_byte_makes_it_panic_or_hang() {
    for at in 0..STREAM.len() {
        for byte in [0, b'\n', b' ', b'"', b':', b'9', b'<', 0xff] {
            let mut stream = STREAM.to_vec();
            stream[at] = byte;
            if let Err(error) = read_all(&stream) {
                assert!(error.offset <= stream.len() as u64, "{at}: {error}");
            }
        }
    }
}

#[test]
fn an_error_says_where_and_what_was_expected() {
    for (stream, offset, expected) in [
        (b"blub\n".as_slice(), 0, "blob, commit"),
        (b"blob\nmark 5\n", 10, ":NUMBER"),
        (b"blob\nmark :+5\n", 10, ":NUMBER"),
        (b"blob\ndata -1\n", 10, "the size of the data"),
        (b"blob\ndata 99999999999999999999\n", 10, "the size of the data"),
        (b"blob\ndata 9\nshort\n", 18, "the rest of the data"),
        (b"blob\ndata <<\n", 10, "<<DELIMITER"),
        (b"commit \n", 7, "the name of a ref"),
        (b"commit x\ndata 0\n", 9, "committer"),
        (b"commit x\ncommitter a\ndata 0\nM 777 :1 a\n", 30, "100644"),
        (b"commit x\ncommitter a\ndata 0\nM 100644 :1\n", 37, "MODE BLOB PATH"),
        (b"commit x\ncommitter a\ndata 0\nD \"a\n", 32, "quotes"),
        (b"commit x\ncommitter a\ndata 0\nD \"a\"b\n", 33, "end of the line"),
        (b"commit x\ncommitter a\ndata 0\nR a\n", 30, "two paths"),
        (b"tag x\ndata 0\n", 6, "from COMMIT"),
    ] {
        let error = refused(stream);
        assert_eq!(error.offset, offset, "{error}");
        assert!(error.problem.contains(expected), "{error}");
    }
}

#[test]
fn limits_hold_before_memory_is_taken() {
    let limits = FastExportLimits { line_bytes: 100, data_bytes: 1_000, changes: 2, merges: 1 };
    let refused = |stream: &[u8]| {
        let mut reader = FastExportReader::new(stream, limits);
        let error = reader.read().expect_err("over a limit");
        assert_eq!(reader.read(), Ok(None), "after an error there is no more");
        error.problem
    };
    assert!(refused(&[b'x'; 5_000]).contains("a line of more than 100 bytes"));
    assert!(refused(b"blob\ndata 1001\n").contains("more than 1000 bytes"));
    let endless = [b"blob\ndata <<E\n".as_slice(), &b"line\n".repeat(1_000)].concat();
    assert!(refused(&endless).contains("more than 1000 bytes"));
    let head = b"commit x\ncommitter a\ndata 0\n";
    let three = [head.as_slice(), b"D a\nD b\nD c\n"].concat();
    assert!(refused(&three).contains("more than 2 changes"));
    let octopus = [head.as_slice(), b"from :1\nmerge :2\nmerge :3\n"].concat();
    assert!(refused(&octopus).contains("more than 1 parents"));
    let inline = b"M 644 inline a\ndata 600\n";
    let content = [b'x'; 600];
    let both = [head.as_slice(), inline, &content, b"\n", inline, &content].concat();
    assert!(refused(&both).contains("more than 400 bytes"));
}

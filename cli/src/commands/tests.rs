//! What the command line takes.

use clap::CommandFactory;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn help_lists_every_verb_and_the_exit_codes() {
    let help = Cli::command().render_long_help().to_string();
    let verbs = [
        "up",
        "gateway",
        "sidecar",
        "token",
        "import",
        "export",
        "mirror",
        "ls",
        "cat",
        "put",
        "rm",
        "mv",
        "watch",
        "log",
        "diff",
        "revert",
        "branch",
        "conflicts",
        "status",
        "completions",
        "man",
        "Exit codes",
        "130",
        "REPO[@BRANCH]",
    ];
    for expected in verbs {
        assert!(help.contains(expected), "{expected} is missing in:\n{help}");
    }
}

#[test]
fn every_verb_takes_a_branch_the_same_way() {
    for line in [
        "vdom ls site@feature/a src",
        "vdom cat site@feature/a src/lib.rs --revision 3",
        "vdom put site@feature/a src/lib.rs --if-absent",
        "vdom rm site@feature/a src/lib.rs README.md -r",
        "vdom mv site@feature/a old new",
        "vdom watch site@feature/a --paths src,docs --from 5.3",
        "vdom log site@feature/a src/lib.rs -n 5",
        "vdom diff site@feature/a src --from main@3 --to 9",
        "vdom revert site@feature/a 3..9",
        "vdom branch create site@feature/a --from main@3",
        "vdom conflicts resolve site@feature/a 0a1b2c --manual -",
        "vdom status site@feature/a",
    ] {
        if let Err(error) = parse(line) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn wrong_usage_exits_with_2_and_says_what_is_wrong() {
    for (line, expected) in [
        ("vdom cat si/te a", "repo"),
        ("vdom cat site /a", "empty segment"),
        ("vdom put site a --if-absent --overwrite", "cannot be used with"),
        ("vdom watch site --from 7", "EPOCH.REVISION"),
        ("vdom ls --server ftp://x", "unix:///"),
        ("vdom lss", "ls"),
        ("vdom diff site --from a@b", "no revision"),
        ("vdom revert site 9..3", "FIRST..LAST"),
        ("vdom branch delete site", "site@BRANCH"),
        ("vdom conflicts show site xyz", "hexadecimal"),
        ("vdom conflicts resolve site 0a1b --ours --theirs", "cannot be used with"),
        ("vdom export --git --repo site --revision 3", "cannot be used with"),
        ("vdom import --git x --repo site --delete", "cannot be used with"),
        ("vdom mirror dir", "--repo"),
        ("vdom mirror dir --repo site --prefix /etc", "empty segment"),
    ] {
        let error = parse(line).expect_err(line);
        assert_eq!(error.exit_code(), Exit::Usage as i32, "{line}");
        assert!(error.to_string().contains(expected), "{line}: {error}");
    }
}

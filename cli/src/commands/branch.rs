//! `vdom branch`: lists, creates and deletes branches.

use clap::Subcommand;
use serde_json::{Value, json};
use vdom_client::{BranchSpec, InvalidBranchSpec, random_operation_id};
use vdom_core::RepoName;
use vdom_proto::v1::{Branch as BranchInfo, CreateBranchRequest, DeleteBranchRequest};

use super::revision_spec::RevisionSpec;
use crate::exit::{Exit, Failure};
use crate::output::{Output, Painter, Tone};
use crate::server::ServerOptions;

/// List, create and delete branches
#[derive(clap::Args, Debug)]
pub(crate) struct BranchArguments {
    #[command(subcommand)]
    action: BranchAction,
}

#[derive(Subcommand, Debug)]
enum BranchAction {
    /// List the branches of a repo
    List {
        /// Repo to list
        #[arg(value_name = "REPO", value_parser = parse_repo)]
        repo: String,
        #[command(flatten)]
        server: ServerOptions,
    },
    /// Create a branch, empty or from another one at no cost
    Create {
        /// The new branch
        #[arg(value_name = "REPO@BRANCH")]
        branch: BranchSpec,
        /// The branch that it continues, and where [default: it begins empty]
        #[arg(long, value_name = "BRANCH[@REVISION]")]
        from: Option<RevisionSpec>,
        #[command(flatten)]
        server: ServerOptions,
    },
    /// Delete a branch; its name is free then
    Delete {
        /// Branch to delete
        #[arg(value_name = "REPO@BRANCH", value_parser = parse_named)]
        branch: BranchSpec,
        #[command(flatten)]
        server: ServerOptions,
    },
}

pub(crate) async fn run(arguments: BranchArguments, output: &mut Output) -> Result<(), Failure> {
    match arguments.action {
        BranchAction::List { repo, server } => list(&repo, &server, output).await,
        BranchAction::Create { branch, from, server } => {
            create(&branch, from, &server, output).await
        }
        BranchAction::Delete { branch, server } => delete(&branch, &server, output).await,
    }
}

async fn list(repo: &str, server: &ServerOptions, output: &mut Output) -> Result<(), Failure> {
    let client = server.connect().await?;
    let branches = client.branches(repo).await?;
    if branches.is_empty() {
        return Err(Failure::new(Exit::NotFound, format!("there is no repo {repo}"))
            .advice("`vdom ls` lists the repos"));
    }
    for branch in branches {
        output.result(|| record(&branch), |painter| line(&branch, painter))?;
    }
    Ok(())
}

async fn create(
    branch: &BranchSpec,
    from: Option<RevisionSpec>,
    server: &ServerOptions,
    output: &mut Output,
) -> Result<(), Failure> {
    let client = server.connect().await?;
    let (from_branch, at_revision) = match from {
        None => (String::new(), 0),
        Some(RevisionSpec { branch: Some(from), revision }) => (from, revision.unwrap_or_default()),
        Some(RevisionSpec { branch: None, revision }) => {
            let revision = revision.unwrap_or_default();
            return Err(Failure::new(Exit::Usage, format!("--from {revision} names no branch"))
                .advice(format!("give --from BRANCH@{revision}")));
        }
    };
    let request = CreateBranchRequest {
        realm: client.realm(),
        repo: branch.repo.clone(),
        branch: branch.branch.clone(),
        from_branch,
        at_revision,
        operation_id: random_operation_id()?,
    };
    let created = client.create_branch(request).await?;
    output.result(
        || record(&created),
        |_| match created.from_branch.as_str() {
            "" => format!("created {branch}"),
            from => format!("created {branch} from {from} at revision {}", created.from_revision),
        },
    )?;
    Ok(())
}

async fn delete(
    branch: &BranchSpec,
    server: &ServerOptions,
    output: &mut Output,
) -> Result<(), Failure> {
    let client = server.connect().await?;
    let request = DeleteBranchRequest {
        realm: client.realm(),
        repo: branch.repo.clone(),
        branch: branch.branch.clone(),
        operation_id: random_operation_id()?,
    };
    client.raw().delete_branch(client.unary(request)).await?;
    output.result(
        || json!({ "repo": branch.repo, "branch": branch.branch, "deleted": true }),
        |_| format!("deleted {branch}"),
    )?;
    Ok(())
}

fn record(branch: &BranchInfo) -> Value {
    let mut record = json!({
        "branch": branch.name,
        "epoch": branch.epoch,
        "revision": branch.revision,
        "head_hash": hex::encode(&branch.head_hash),
    });
    if !branch.from_branch.is_empty() {
        record["from_branch"] = branch.from_branch.clone().into();
        record["from_revision"] = branch.from_revision.into();
    }
    record
}

fn line(branch: &BranchInfo, painter: &Painter) -> String {
    let mut text = format!(
        "{}  {}",
        painter.paint(Tone::Strong, &format!("{:24}", branch.name)),
        painter.paint(Tone::Plain, &format!("revision {:<8}", branch.revision)),
    );
    if !branch.from_branch.is_empty() {
        let from = format!("  from {} at {}", branch.from_branch, branch.from_revision);
        text.push_str(&painter.paint(Tone::Faint, &from));
    }
    text.trim_end().to_owned()
}

fn parse_repo(text: &str) -> Result<String, String> {
    RepoName::parse(text).map(|name| name.to_string()).map_err(|error| error.message)
}

/// A branch that is named in full: nobody deletes `main` by leaving it out.
fn parse_named(text: &str) -> Result<BranchSpec, String> {
    if text.contains('@') {
        text.parse().map_err(|invalid: InvalidBranchSpec| invalid.to_string())
    } else {
        Err(format!("name the branch too: {text}@BRANCH"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_to_delete_is_named_in_full() {
        assert!(parse_named("site").is_err_and(|problem| problem.contains("site@BRANCH")));
        assert_eq!(parse_named("site@main"), Ok(BranchSpec::new("site", "main").expect("valid")));
    }

    #[test]
    fn a_fork_says_where_it_begins() {
        let fork = BranchInfo {
            name: "topic".into(),
            revision: 9,
            from_branch: "main".into(),
            from_revision: 7,
            ..BranchInfo::default()
        };
        assert!(line(&fork, &Painter::colorless()).ends_with("from main at 7"));
        assert_eq!(record(&fork)["from_revision"], 7);
        let root = BranchInfo { name: "main".into(), ..BranchInfo::default() };
        assert_eq!(record(&root).get("from_branch"), None);
    }
}

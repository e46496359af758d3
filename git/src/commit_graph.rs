//! Which commits of git go to which branch of the repo.

use std::collections::{HashMap, HashSet};

use crate::branch_name::{SIDE_BRANCHES, side_branch};
use crate::object_id::ObjectId;

/// The commits of a repository, each after its children.
#[derive(Debug, Default)]
pub struct CommitGraph {
    ids: Vec<ObjectId>,
    index_of: HashMap<ObjectId, usize>,
    first_parents: Vec<Option<ObjectId>>,
}

impl CommitGraph {
    /// Adds a commit, which comes after its children.
    pub fn push(&mut self, id: ObjectId, first_parent: Option<ObjectId>) {
        self.index_of.insert(id, self.ids.len());
        self.ids.push(id);
        self.first_parents.push(first_parent);
    }

    /// The first parent of a commit, where it has one here.
    pub fn first_parent(&self, id: &ObjectId) -> Option<ObjectId> {
        self.index_of.get(id).and_then(|index| self.first_parents[*index])
    }

    /// How many commits there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

/// A commit that an earlier import brought in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedCommit {
    /// The branch that it went to.
    pub branch: String,
    /// The last revision of its change set.
    pub revision: u64,
}

/// A branch to write to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedBranch {
    /// Its name in the repo.
    pub name: String,
    /// The commit that its first new commit follows.
    pub base: Option<ObjectId>,
    /// It is there already, and its last commit is `base`.
    pub exists: bool,
}

/// The branches that an import writes, and which commits go to each.
#[derive(Debug, Default)]
pub struct ImportPlan {
    /// Those that get new commits.
    pub branches: Vec<PlannedBranch>,
    /// New commits, each with the index of its branch in `branches`.
    pub owner: HashMap<ObjectId, usize>,
    /// Heads whose branch begins at a commit of another one, and has none of its own.
    pub forks: Vec<(String, ObjectId)>,
    /// Heads that no longer contain what their branch has.
    pub rewritten: Vec<String>,
}

impl ImportPlan {
    /// Plans the commits that were not `imported` yet. `heads` come in the order
    /// in which they may claim the commits that they share; `tips` are the
    /// branches that are there, with the last commit of each.
    pub fn new(
        graph: &CommitGraph,
        heads: &[(String, ObjectId)],
        imported: &HashMap<ObjectId, ImportedCommit>,
        tips: &HashMap<String, ObjectId>,
    ) -> Self {
        let mut planning = Planning {
            plan: Self::default(),
            graph,
            imported,
            tips,
            names: tips.keys().cloned().collect(),
            owners: HashSet::new(),
        };
        planning.names.extend(heads.iter().map(|(name, _)| name.clone()));
        for (name, commit) in heads {
            planning.head(name, *commit);
        }
        for id in &graph.ids {
            let chain = planning.unowned_from(*id);
            if !chain.commits.is_empty() {
                planning.side(chain);
            }
        }
        planning.plan
    }

    /// Commits that a branch begins after.
    pub fn bases(&self) -> HashSet<ObjectId> {
        self.branches.iter().filter_map(|branch| branch.base).collect()
    }
}

struct Planning<'a> {
    plan: ImportPlan,
    graph: &'a CommitGraph,
    imported: &'a HashMap<ObjectId, ImportedCommit>,
    tips: &'a HashMap<String, ObjectId>,
    names: HashSet<String>,
    /// The names of the planned branches.
    owners: HashSet<String>,
}

/// Commits that follow one another by their first parents, newest first.
struct Chain {
    commits: Vec<ObjectId>,
    base: Option<ObjectId>,
}

impl Planning<'_> {
    fn head(&mut self, name: &str, commit: ObjectId) {
        let chain = self.unowned_from(commit);
        match (chain.commits.is_empty(), self.tips.get(name)) {
            (true, None) => {
                if !self.owners.contains(name) {
                    self.plan.forks.push((name.to_owned(), commit));
                }
            }
            (true, Some(tip)) if *tip == commit => {}
            (true, Some(_)) => self.plan.rewritten.push(name.to_owned()),
            (false, None) => self.own(name.to_owned(), chain, false),
            (false, Some(tip)) if chain.base == Some(*tip) => {
                self.own(name.to_owned(), chain, true);
            }
            (false, Some(_)) => {
                self.plan.rewritten.push(name.to_owned());
                self.side(chain);
            }
        }
    }

    fn side(&mut self, chain: Chain) {
        let Some(first) = chain.commits.last() else { return };
        let digits = first.to_string();
        let short = side_branch(digits.as_bytes());
        // Made by an import that was interrupted before its first commit.
        if chain.base.is_some() && self.tips.get(&short) == chain.base.as_ref() {
            return self.own(short, chain, true);
        }
        let name =
            if self.names.contains(&short) { format!("{SIDE_BRANCHES}{digits}") } else { short };
        self.names.insert(name.clone());
        self.own(name, chain, false);
    }

    fn own(&mut self, name: String, chain: Chain, exists: bool) {
        let place = self.plan.branches.len();
        self.owners.insert(name.clone());
        self.plan.branches.push(PlannedBranch { name, base: chain.base, exists });
        self.plan.owner.extend(chain.commits.into_iter().map(|commit| (commit, place)));
    }

    fn unowned_from(&self, commit: ObjectId) -> Chain {
        let mut commits = Vec::new();
        let mut next = Some(commit);
        while let Some(commit) = next {
            if self.plan.owner.contains_key(&commit) || self.imported.contains_key(&commit) {
                return Chain { commits, base: Some(commit) };
            }
            let Some(index) = self.graph.index_of.get(&commit) else { break };
            commits.push(commit);
            next = self.graph.first_parents[*index];
        }
        Chain { commits, base: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> ObjectId {
        ObjectId::parse(hex::encode([number; 20]).as_bytes()).expect("40 digits")
    }

    /// 1 - 2 - 3 - 6 (main), 2 - 4 - 5 merged into 6, 3 - 7 (topic).
    fn graph() -> CommitGraph {
        let mut graph = CommitGraph::default();
        for (commit, parent) in [(7, 3), (6, 3), (3, 2), (5, 4), (4, 2), (2, 1)] {
            graph.push(id(commit), Some(id(parent)));
        }
        graph.push(id(1), None);
        graph
    }

    fn heads() -> Vec<(String, ObjectId)> {
        vec![("main".into(), id(6)), ("same".into(), id(6)), ("topic".into(), id(7))]
    }

    fn owner(plan: &ImportPlan, commit: u8) -> &str {
        &plan.branches[plan.owner[&id(commit)]].name
    }

    #[test]
    fn heads_keep_their_first_parents_and_merged_chains_get_names() {
        let plan = ImportPlan::new(&graph(), &heads(), &HashMap::new(), &HashMap::new());
        let owners: Vec<_> = (1..=7).map(|commit| owner(&plan, commit)).collect();
        let side = "git/side/040404040404";
        assert_eq!(owners, ["main", "main", "main", side, side, "main", "topic"]);
        let side = plan.branches.iter().find(|branch| branch.name == side).expect("planned");
        assert_eq!((side.base, side.exists), (Some(id(2)), false));
        assert_eq!(plan.forks, [("same".to_owned(), id(6))]);
    }

    #[test]
    fn what_is_there_is_gone_on_with() {
        let imported = |commit, branch: &str| {
            (id(commit), ImportedCommit { branch: branch.to_owned(), revision: 1 })
        };
        let there: HashMap<_, _> =
            [imported(1, "main"), imported(2, "main"), imported(3, "main")].into();
        let tips = HashMap::from([("main".to_owned(), id(3))]);
        let plan = ImportPlan::new(&graph(), &heads(), &there, &tips);
        let main = &plan.branches[plan.owner[&id(6)]];
        assert_eq!((main.name.as_str(), main.base, main.exists), ("main", Some(id(3)), true));
        assert!(!plan.owner.contains_key(&id(3)));
    }

    #[test]
    fn a_rewritten_head_leaves_its_branch_alone() {
        let there = HashMap::from([(id(9), ImportedCommit { branch: "main".into(), revision: 1 })]);
        let tips = HashMap::from([("main".to_owned(), id(9))]);
        let plan = ImportPlan::new(&graph(), &heads(), &there, &tips);
        assert_eq!(plan.rewritten, ["main"]);
        assert_eq!(owner(&plan, 6), "git/side/010101010101");
    }
}

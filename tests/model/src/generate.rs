//! From a seed to a scenario.

use std::collections::VecDeque;

use crate::random::Random;
use crate::steps::{Action, At, Edit, OnConflict, Resolution, Scenario, Seen, Step, Who, Write};

/// The scenario of a seed.
pub fn scenario(seed: u64, steps: usize) -> Scenario {
    let mut random = Random::new(seed);
    let gateways = [1, 1, 2, 2, 3][random.below(5) as usize];
    let branches = [1, 2, 3, 5][random.below(4) as usize];
    let large = random.percent(4);
    let mut style = Style {
        branches,
        begun: if random.percent(65) { 1 } else { branches },
        paths: [1, 2, 4, 7][random.below(4) as usize],
        gateways,
        large,
        restores: large || random.percent(30),
        sleeps: random.percent(15),
        compacts: random.percent(60),
        next: VecDeque::new(),
        random,
    };
    let delay_ms = [0, 0, 3, 20][style.random.below(4) as usize];
    let lost_views = [0, 0, 0, 30][style.random.below(4) as usize];
    let lose_hints = style.random.percent(40);
    let quota_nodes = if gateways == 1 && lost_views == 0 && style.random.percent(20) {
        3 + style.random.small(6)
    } else {
        0
    };
    let steps = (0..steps).map(|number| style.step(number)).collect();
    Scenario { seed, gateways, delay_ms, lost_views, lose_hints, quota_nodes, steps }
}

/// What a scenario does more of, and less.
struct Style {
    random: Random,
    branches: u8,
    /// Branches that are in use: each of the others begins as a fork of one of these.
    begun: u8,
    paths: u8,
    gateways: u8,
    large: bool,
    restores: bool,
    sleeps: bool,
    compacts: bool,
    /// What belongs together comes one after the other, more or less.
    next: VecDeque<Step>,
}

impl Style {
    fn step(&mut self, number: usize) -> Step {
        if number < 3 {
            return Step::Call(Who { branch: 0, ..self.who() }, Action::Write(self.write()));
        }
        if self.begun < self.branches && self.random.percent(12) {
            let action = self.fork();
            let (who, action) = self.placed(action);
            return Step::Call(who, action);
        }
        if self.random.percent(75)
            && let Some(step) = self.next.pop_front()
        {
            return step;
        }
        if self.next.is_empty() && self.random.percent(4) {
            self.next = self.together();
        }
        match self.random.below(100) {
            0..60 => {
                let (who, action) = self.asked();
                Step::Call(who, action)
            }
            60..68 => Step::Race(self.asked(), self.asked()),
            68..72 => {
                let (who, action) = self.asked();
                Step::Crash { who, action, at: self.random.small(16) }
            }
            72..80 => Step::Retry {
                gateway: self.random.small(3),
                back: self.random.small(8),
                altered: self.random.percent(20),
            },
            80..84 => Step::Subscribe {
                who: self.who(),
                number: self.random.small(3),
                back: self.random.percent(70).then(|| self.random.small(12)),
                path: self.random.percent(30).then(|| self.path()),
            },
            84..89 => Step::Take { number: self.random.small(3), events: 1 + self.random.small(6) },
            89..91 => Step::Idle { seconds: self.seconds() },
            91..94 => Step::Restart {
                gateway: self.random.small(self.gateways),
                orderly: self.random.percent(40),
            },
            94..96 => Step::LoseAnswers {
                appends: 1 + self.random.small(3),
                after: self.random.percent(50),
            },
            96 if self.restores => Step::Backup,
            97 if self.restores => Step::Restore,
            98 => Step::Verify,
            99 if self.random.percent(30) => Step::Rebuild,
            99 => Step::Collect,
            // Whatever is left out where the scenario has none of it.
            _ => Step::Take { number: self.random.small(3), events: 1 },
        }
    }

    /// Steps that find little one by one: what two do to one branch at the same time, and
    /// what is left of what it rests on.
    fn together(&mut self) -> VecDeque<Step> {
        let (gateway, branch) = (self.random.small(3), self.random.small(self.begun));
        let on = |style: &mut Self, branch| Who { gateway, branch, ..style.who() };
        let compact = |style: &mut Self, branch| {
            let keep = style.random.small(4);
            Step::Call(on(style, branch), Action::Compact { keep })
        };
        let look = |style: &mut Self, branch| {
            let action = match style.random.below(3) {
                0 => Action::Write(style.write()),
                1 => Action::Tree { at: At::Confirmed },
                _ => Action::Read { path: style.path(), by_id: false, at: style.at() },
            };
            Step::Call(Who { gateway: style.random.small(3), ..on(style, branch) }, action)
        };
        let mut steps = VecDeque::new();
        match self.random.below(5) {
            // Two begin the same fork, at revisions of their own; then its parent forgets.
            0 if self.branches > 1 => {
                let fork = if self.begun < self.branches {
                    self.begun += 1;
                    self.begun - 1
                } else {
                    let fork = self.random.small(self.branches);
                    let action = Action::DeleteBranch { named: false };
                    steps.push_back(Step::Call(on(self, fork), action));
                    fork
                };
                let begin = |style: &mut Self, other| {
                    let back = Some(style.random.small(4));
                    let named = style.random.percent(60);
                    let who = Who { gateway: gateway + other, ..on(style, fork) };
                    (who, Action::Fork { from: Some(branch), back, named })
                };
                steps.push_back(Step::Race(begin(self, 0), begin(self, 1)));
                steps.extend([compact(self, branch), look(self, fork)]);
            }
            // A fork is followed while its parent is asleep, wakes up, and forgets.
            1 if self.branches > 1 => {
                let fork = self.random.small(self.branches);
                let back = Some(self.random.small(3));
                let action = Action::Fork { from: Some(branch), back, named: true };
                let number = self.random.small(3);
                let who = on(self, fork);
                steps.push_back(Step::Call(who, action));
                steps.push_back(look(self, branch));
                steps.push_back(Step::Subscribe { who, number, back: None, path: None });
                steps.push_back(Step::Idle { seconds: 65 + 65 * self.random.small(2) });
                steps.extend([look(self, branch), compact(self, branch)]);
                steps.extend([look(self, fork), look(self, fork)]);
            }
            // Two gateways forget at the same time, and what is left is all there is.
            2 if self.compacts => {
                let forget = |style: &mut Self, other| {
                    let who = Who { gateway: gateway + other, ..on(style, branch) };
                    (who, Action::Compact { keep: style.random.small(6) })
                };
                steps.push_back(Step::Race(forget(self, 0), forget(self, 1)));
                steps.push_back(match self.random.below(3) {
                    0 => Step::Rebuild,
                    1 => Step::Restart { gateway: self.random.small(3), orderly: false },
                    _ => look(self, branch),
                });
                steps.push_back(look(self, branch));
            }
            // A large content is refused and kept, and then nothing else names it.
            3 if self.large => {
                let path = self.path();
                let edit = Edit::Line(0, self.random.small(4));
                let stands = Write { path, edit, seen: Seen::AllBut(0), ..self.write() };
                let large = Edit::Large(self.random.small(4));
                let refused =
                    Write { edit: large, seen: Seen::Nothing, keep: true, ..stands.clone() };
                let refused = Write { on_conflict: OnConflict::Reject, ..refused };
                let resolution = Resolution::Theirs;
                let resolve =
                    Action::Resolve { which: self.random.small(4), resolution, named: true };
                for write in [stands, refused] {
                    steps.push_back(Step::Call(on(self, branch), Action::Write(write)));
                }
                steps.extend([compact(self, branch), Step::Collect]);
                steps.extend([Step::Call(on(self, branch), resolve), look(self, branch)]);
            }
            // Two do the same.
            _ => {
                let first = self.action();
                let kind = std::mem::discriminant(&first);
                let second = (0..50).map(|_| self.action());
                let second = second.collect::<Vec<_>>().into_iter();
                let mut same = second.filter(|action| std::mem::discriminant(action) == kind);
                let second = same.next().unwrap_or_else(|| first.clone());
                let other = Who { gateway: gateway + 1, ..on(self, branch) };
                steps.push_back(Step::Race((on(self, branch), first), (other, second)));
                steps.push_back(look(self, branch));
            }
        }
        steps
    }

    fn seconds(&mut self) -> u8 {
        if self.sleeps {
            [2, 65, 130][self.random.below(3) as usize]
        } else {
            1 + self.random.small(3)
        }
    }

    fn who(&mut self) -> Who {
        Who {
            gateway: self.random.small(3),
            client: self.random.small(3),
            branch: self.random.small(self.begun),
        }
    }

    fn asked(&mut self) -> (Who, Action) {
        let action = self.action();
        self.placed(action)
    }

    /// Who asks for it: a fork begins a branch that is not in use yet.
    fn placed(&mut self, action: Action) -> (Who, Action) {
        let mut who = self.who();
        if matches!(action, Action::Fork { .. }) && self.begun < self.branches {
            who.branch = self.begun;
            self.begun += 1;
        }
        (who, action)
    }

    fn fork(&mut self) -> Action {
        let from = match self.random.below(10) {
            0 => None,
            1..6 => Some(self.begun - 1),
            _ => Some(self.random.small(self.begun)),
        };
        // Early branches are short: far back is before their first change.
        let back = match self.random.below(10) {
            0..4 => None,
            4..9 => Some(self.random.small(4)),
            _ => Some(self.random.small(20)),
        };
        Action::Fork { from, back, named: self.random.percent(60) }
    }

    fn path(&mut self) -> u8 {
        self.random.small(self.paths)
    }

    fn action(&mut self) -> Action {
        let named = self.random.percent(60);
        match self.random.below(100) {
            0..48 => Action::Write(self.write()),
            48..56 => {
                let items = 1 + self.random.below(4);
                Action::Set {
                    items: (0..items).map(|_| self.write()).collect(),
                    named,
                    expected: self.random.percent(15),
                }
            }
            56..61 => Action::Revert {
                back: self.random.small(6),
                count: 1 + self.random.small(4),
                on_conflict: self.on_conflict(),
                named,
            },
            61..65 => Action::Resolve {
                which: self.random.small(4),
                resolution: match self.random.below(4) {
                    0 => Resolution::Ours,
                    1 => Resolution::Theirs,
                    2 => Resolution::Merge,
                    _ => Resolution::Manual(self.random.small(9)),
                },
                named,
            },
            65..71 if self.branches > 1 => self.fork(),
            71..73 if self.branches > 1 => Action::DeleteBranch { named },
            73..83 => {
                Action::Read { path: self.path(), by_id: self.random.percent(40), at: self.at() }
            }
            83..88 => Action::Tree { at: self.at() },
            88..91 => Action::History { path: self.random.percent(60).then(|| self.path()) },
            91..93 => Action::Conflicts,
            93..94 => Action::Branches,
            94..100 if self.compacts => Action::Compact { keep: self.random.small(6) },
            _ => Action::Read { path: 0, by_id: false, at: self.at() },
        }
    }

    fn at(&mut self) -> At {
        match self.random.below(10) {
            0..2 => At::Known,
            2..4 => At::Confirmed,
            4..6 => At::AtLeastNewest,
            6 => At::AfterOperation,
            _ => At::Back(self.random.small(101)),
        }
    }

    fn on_conflict(&mut self) -> OnConflict {
        match self.random.below(10) {
            0..3 => OnConflict::Reject,
            3..7 => OnConflict::Merge,
            _ => OnConflict::Overwrite,
        }
    }

    fn write(&mut self) -> Write {
        let edit = self.edit();
        Write {
            path: self.path(),
            seen: match self.random.below(20) {
                0..4 => Seen::Nothing,
                4..11 => Seen::AllBut(0),
                11..19 => Seen::AllBut(1 + self.random.small(3)),
                _ => Seen::Ahead,
            },
            edit,
            on_conflict: self.on_conflict(),
            keep: self.random.percent(25),
            named: self.random.percent(60),
            second_actor: self.random.percent(15),
        }
    }

    fn edit(&mut self) -> Edit {
        let value = self.random.small(4);
        match self.random.below(100) {
            0..48 => Edit::Line(self.random.small(9), value),
            48..58 => Edit::Insert(self.random.small(20), value),
            58..66 => Edit::Field(self.random.small(4), value),
            66..72 => Edit::Attribute(self.random.small(3), value),
            72..74 => Edit::NoAttribute(self.random.small(3)),
            74..82 => Edit::Delete,
            82..96 => {
                let then = self.random.percent(40).then(|| (self.random.small(9), value));
                Edit::Rename(self.path(), then)
            }
            _ if self.large => Edit::Large(value),
            _ => Edit::Line(self.random.small(9), value),
        }
    }
}

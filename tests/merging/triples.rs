//! Texts with two edits of each, made from a seed.

use super::random::Random;

/// A text and what two writers made of it.
#[derive(Clone, Debug)]
pub(super) struct Triple {
    /// What both had read.
    pub(super) base: Vec<u8>,
    /// What one made of it.
    pub(super) current: Vec<u8>,
    /// What the other made of it.
    pub(super) proposed: Vec<u8>,
}

/// What the lines of a text are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Names and numbers, with the blank lines and braces of code in between.
    Code,
    /// Lines that hardly ever repeat.
    Prose,
    /// A few lines over and over, so that edits line up in many ways.
    Repetitive,
    /// Mixed line endings, and often none at the end.
    Endings,
    /// Both writers change much.
    Rewritten,
}

impl Manner {
    /// All of them.
    pub(super) const ALL: [Self; 5] =
        [Self::Code, Self::Prose, Self::Repetitive, Self::Endings, Self::Rewritten];

    fn base_lines(self, random: &mut Random) -> usize {
        match self {
            Self::Code => random.within(20..=200),
            Self::Prose => random.within(10..=80),
            Self::Repetitive => random.within(0..=30),
            Self::Endings => random.within(0..=25),
            Self::Rewritten => random.within(10..=100),
        }
    }

    fn edits(self, random: &mut Random) -> usize {
        match self {
            Self::Code | Self::Prose => random.within(1..=5),
            Self::Repetitive => random.within(1..=4),
            Self::Endings => random.within(0..=3),
            Self::Rewritten => random.within(5..=25),
        }
    }

    fn line(self, random: &mut Random) -> String {
        const COMMON: [&str; 6] = ["", "    }", "}", "    return None;", "        });", "    {"];
        match self {
            Self::Code | Self::Rewritten if random.percent(30) => {
                COMMON[random.below(COMMON.len())].to_owned()
            }
            Self::Code | Self::Rewritten => {
                let indent = " ".repeat(4 * random.below(4));
                format!("{indent}let value_{} = call({});", random.below(300), random.below(5))
            }
            Self::Prose => format!("Sentence {} of \u{e4} text.", random.bits() % 100_000),
            Self::Repetitive => char::from(b'a' + random.below(4) as u8).to_string(),
            Self::Endings => format!("line {}", random.below(12)),
        }
    }

    fn ending(self, random: &mut Random) -> &'static str {
        if self == Self::Endings && random.percent(25) { "\r\n" } else { "\n" }
    }

    fn lines(self, count: usize, random: &mut Random) -> Vec<String> {
        (0..count).map(|_| self.line(random) + self.ending(random)).collect()
    }
}

/// The triple of this seed: of each manner one in five.
pub(super) fn triple(seed: u64) -> (Manner, Triple) {
    let manner = Manner::ALL[(seed % Manner::ALL.len() as u64) as usize];
    let mut random = Random::new(seed);
    let base = manner.lines(manner.base_lines(&mut random), &mut random);
    // What both writers do alike, such as taking the same patch.
    let mut shared = base.clone();
    if random.percent(25) {
        edit(&mut shared, manner, &mut random);
    }
    let mut writer = |start: &[String]| {
        let mut lines = start.to_vec();
        for _ in 0..manner.edits(&mut random) {
            edit(&mut lines, manner, &mut random);
        }
        text(&lines, manner, &mut random)
    };
    let (current, proposed) = (writer(&shared), writer(&shared));
    (manner, Triple { base: text(&base, manner, &mut random), current, proposed })
}

/// One change as people make them.
fn edit(lines: &mut Vec<String>, manner: Manner, random: &mut Random) {
    let at = random.below(lines.len() + 1);
    let end = (at + random.within(1..=4)).min(lines.len());
    match random.below(10) {
        0..3 => {
            let new = manner.lines(random.within(1..=4), random);
            lines.splice(at..at, new);
        }
        3..5 => {
            lines.drain(at..end);
        }
        5..8 => {
            let new = manner.lines(random.within(1..=3), random);
            lines.splice(at..end, new);
        }
        8 => {
            let moved: Vec<_> = lines.drain(at..end).collect();
            let to = random.below(lines.len() + 1);
            lines.splice(to..to, moved);
        }
        _ => {
            let copied = lines[at..end].to_vec();
            let to = random.below(lines.len() + 1);
            lines.splice(to..to, copied);
        }
    }
}

fn text(lines: &[String], manner: Manner, random: &mut Random) -> Vec<u8> {
    let mut text = lines.concat();
    if manner == Manner::Endings && random.percent(30) && text.ends_with('\n') {
        text.pop();
    }
    text.into_bytes()
}

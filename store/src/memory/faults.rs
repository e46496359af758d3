//! What goes wrong in a memory store, decided by a seed.

use std::collections::VecDeque;

use crate::log::LogId;
use crate::view::{ViewWrite, Watermark};

/// How the answer to an append gets lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendFault {
    /// Before the batch arrived: nothing stands at its number.
    BeforeEffect,
    /// After the batch was committed: it stands at its number.
    AfterEffect,
}

/// How often view writes go wrong, in percent of the calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ViewFaults {
    /// The call fails; any part of its rows may have been written, the watermark not.
    pub lost: u8,
    /// The call fails and takes effect later, after calls that began after it.
    pub late: u8,
}

/// The faults of one store.
pub(super) struct Faults {
    pub(super) appends: VecDeque<AppendFault>,
    pub(super) views: ViewFaults,
    pub(super) lose_hints: bool,
    late: Vec<LateWrite>,
    random: SplitMix,
}

/// A view write that its caller has given up.
pub(super) struct LateWrite {
    pub(super) log: LogId,
    pub(super) writes: Vec<ViewWrite>,
    pub(super) watermark: Option<Watermark>,
}

/// What becomes of one view write.
pub(super) enum ViewFate {
    /// It is applied, and then what it has overtaken.
    Applied { overtaken: Vec<LateWrite> },
    /// These rows arrive, the others and the watermark do not.
    Lost { survivors: Vec<ViewWrite> },
    /// It arrives after a later one.
    Late,
}

impl Faults {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            appends: VecDeque::new(),
            views: ViewFaults::default(),
            lose_hints: false,
            late: Vec::new(),
            random: SplitMix(seed),
        }
    }

    pub(super) fn view_fate(
        &mut self,
        log: LogId,
        writes: &[ViewWrite],
        watermark: Option<Watermark>,
    ) -> ViewFate {
        let roll = self.random.below(100);
        let lost = u64::from(self.views.lost);
        if roll < lost {
            let survivors = writes.iter().filter(|_| self.random.below(2) == 0).cloned().collect();
            return ViewFate::Lost { survivors };
        }
        if roll < lost + u64::from(self.views.late) {
            self.late.push(LateWrite { log, writes: writes.to_vec(), watermark });
            return ViewFate::Late;
        }
        let mut overtaken = Vec::new();
        while !self.late.is_empty() && self.random.below(2) == 0 {
            overtaken.push(self.take_one());
        }
        ViewFate::Applied { overtaken }
    }

    pub(super) fn take_late(&mut self) -> Vec<LateWrite> {
        let mut late = Vec::with_capacity(self.late.len());
        while !self.late.is_empty() {
            late.push(self.take_one());
        }
        late
    }

    fn take_one(&mut self) -> LateWrite {
        let at = self.random.below(self.late.len() as u64);
        self.late.swap_remove(at as usize)
    }
}

/// A small generator whose sequence no dependency can change.
struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}

//! Users whose roles are being read again, and changes that overtake a look-up.

use std::collections::HashMap;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::event::Event;
use crate::id::{ConnectionId, ProjectId, UserId};

/// Events kept back, each with the connections that got it already.
pub(crate) type Held = Vec<(Arc<Event>, SmallVec<[ConnectionId; 2]>)>;

/// A user whose roles are being read again.
#[derive(Debug, Default)]
pub(crate) struct Recheck {
    pub(crate) connections: SmallVec<[ConnectionId; 2]>,
    /// Events of the project since, and who got each already under the old roles.
    pub(crate) held: Held,
    /// The roles changed once more meanwhile, so the answer under way is already old.
    pub(crate) again: bool,
}

/// Which users' roles changed while look-ups were under way, so that no answer read before a change is believed.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    count: u64,
    look_ups: usize,
    users: HashMap<(ProjectId, UserId), u64>,
}

impl Changes {
    /// A look-up begins. The count to give to [`Self::changed_since`] when it is answered.
    pub(crate) fn begin(&mut self) -> u64 {
        self.look_ups += 1;
        self.count
    }

    /// A look-up was answered or given up. With none under way there is nothing to remember.
    pub(crate) fn end(&mut self) {
        self.look_ups = self.look_ups.saturating_sub(1);
        if self.look_ups == 0 {
            self.users.clear();
        }
    }

    pub(crate) fn note(&mut self, key: &(ProjectId, UserId)) {
        self.count += 1;
        if self.look_ups > 0 {
            self.users.insert(key.clone(), self.count);
        }
    }

    pub(crate) fn changed_since(&self, key: &(ProjectId, UserId), asked_at: u64) -> bool {
        self.users.get(key).is_some_and(|changed| *changed > asked_at)
    }
}

//! The second tier, as a session sees it: what others are to call a result, and whether they have it.

use std::sync::Arc;
use std::time::Instant;

use sha2::{Digest, Sha256};

use super::Session;
use super::lookup::{Found, Shape};
use super::settings::whole_context;
use crate::cache::deadline;
use crate::cache::entry::Entry;
use crate::database::statement::{ReadPlan, Statement};
use crate::freshness::flight::Leader;
use crate::freshness::words::{Slot, Stamp};
use crate::services::Context;
use crate::shared::{Destination, Question, Ticket};

/// Where in a first-tier key the protocol stands, and where what follows it.
const PROTOCOL_AT: usize = 8;
const TEXT_AT: usize = 9;
const BIND_AT: usize = 17;

impl Session {
    /// What a result may be stored under for others, to be had before its stamps are taken.
    pub(super) fn ticket(&self) -> Option<Ticket> {
        self.services.shared.as_ref()?.ticket()
    }

    /// Looks whether another instance has the result; if not, it is to be asked for.
    pub(super) async fn find_shared(
        &mut self,
        ticket: Option<Ticket>,
        statement: &Statement,
        read: &ReadPlan,
        stamps: Arc<[Stamp]>,
        leader: Option<Leader>,
        shape: Shape,
    ) -> Found {
        let destination = ticket.and_then(|ticket| self.destination(ticket, statement));
        let Some(destination) = destination else {
            return Found::Fill(self.fill(read, stamps, leader, None));
        };
        if let Some(entry) = self.fetch(&destination, read, &stamps).await
            && shape.fits(&entry)
        {
            return Found::Shared(entry);
        }
        Found::Fill(self.fill(read, stamps, leader, Some(destination)))
    }

    /// The result at its destination, if it may be served; it is then kept here, too.
    async fn fetch(
        &self,
        destination: &Destination,
        read: &ReadPlan,
        stamps: &Arc<[Stamp]>,
    ) -> Option<Arc<Entry>> {
        let shared = self.services.shared.as_ref()?;
        let slots: Vec<Slot> = stamps.iter().map(|stamp| stamp.slot()).collect();
        let hit = shared.find(destination, &slots).await?;
        let now = Instant::now();
        let ends = match (hit.ends, deadline(now, read.ttl)) {
            (Some(theirs), Some(ours)) => Some(theirs.min(ours)),
            (theirs, ours) => theirs.or(ours),
        };
        let entry = Entry::new(hit.bytes, hit.rows_at, (**stamps).into(), ends);
        let freshness = &self.services.freshness;
        // The stamps come last: whatever has opened a word since they were taken voids them.
        let key = self.key.as_slice().into();
        let entry = self.services.cache.fill(key, entry, freshness.words())?;
        freshness.peers().may_serve(now).then_some(entry)
    }

    fn destination(&mut self, ticket: Ticket, statement: &Statement) -> Option<Destination> {
        let fingerprint = self.fingerprint()?;
        let shared = self.services.shared.as_ref()?;
        let is_extended = *self.key.get(PROTOCOL_AT)? != 0;
        let question = if is_extended {
            Question {
                context: &fingerprint,
                statement: statement.tail(),
                bind: Some(self.key.get(BIND_AT..)?),
            }
        } else {
            Question {
                context: &fingerprint,
                statement: self.key.get(TEXT_AT..)?,
                bind: None,
            }
        };
        Some(shared.destination(ticket, &question))
    }

    /// What the session's answers depend on beside the statement, in a form that every instance gives it.
    fn fingerprint(&mut self) -> Option<[u8; 32]> {
        let system = self.database.system()?;
        if let Some((context, known, fingerprint)) = self.fingerprint
            && context == self.context
            && known == system
        {
            return Some(fingerprint);
        }
        let context = whole_context(
            &self.database,
            &self.pool,
            &self.kind.baseline,
            &self.kind.changes,
        );
        let fingerprint = fingerprint(&context, system);
        self.fingerprint = Some((self.context, system, fingerprint));
        Some(fingerprint)
    }
}

/// Numbers that only this process knows are left out; what they stand for is in.
fn fingerprint(context: &Context, system: u64) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    let Context {
        database: _,
        startup,
        baseline,
        changes,
    } = context;
    add(&system.to_le_bytes());
    add(&baseline.database.oid.to_le_bytes());
    add(baseline.database.name.as_bytes());
    add(&baseline.settings);
    for (name, value) in startup {
        add(b"startup");
        add(name);
        add(value);
    }
    for (name, value) in baseline.parameters.iter() {
        add(b"reported");
        add(name);
        add(value);
    }
    for (name, value) in changes {
        add(b"changed");
        add(name.as_bytes());
        add(value);
    }
    hash.finalize().into()
}

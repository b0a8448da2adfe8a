//! What a server still owes: the replies to everything that was sent to it, in order.
//!
//! The extended protocol has no request numbers. To leave out the reply to a message that the proxy added,
//! or to put in one for a message that it kept back, a session has to know which reply belongs to which
//! message. [`Expectations`] is that list. A reply that does not fit it means that proxy and server no
//! longer agree, and the connection must not be used again.
//!
//! ```text
//!            sent                     owed
//!   Parse ───────────────► ParseComplete
//!   Bind ────────────────► BindComplete
//!   Describe statement ──► ParameterDescription, then RowDescription or NoData
//!   Describe portal ─────► RowDescription or NoData
//!   Execute ─────────────► rows or a COPY, then CommandComplete | EmptyQueryResponse | PortalSuspended
//!   Close ───────────────► CloseComplete
//!   Sync ────────────────► ReadyForQuery
//!   Query, FunctionCall ─► anything, then ReadyForQuery
//!                ErrorResponse: everything up to the next Sync is void
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::backend::*;
use super::shape::Shape;

/// Who sent a message, and so who gets its reply.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Origin {
    /// The client: the reply is forwarded.
    Client,
    /// The proxy, for itself: the reply is swallowed.
    Proxy,
}

/// One reply that is owed. `P` is what a session has to forget when a Parse turns out void.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Expected<P> {
    /// BindComplete; and the client's name of the statement, where the server knows it by another.
    BindComplete(Option<Arc<[u8]>>),
    /// CloseComplete.
    CloseComplete(Origin),
    /// The outcome of an Execute.
    Execution,
    /// Written by the proxy itself when its turn comes: the reply to a Parse or Close that was kept back.
    Local(Bytes),
    /// The like, to a Describe that was kept back.
    LocalDescription(Bytes),
    /// ParseComplete.
    ParseComplete(Origin, P),
    /// The description of a portal.
    PortalDescription,
    /// Everything up to ReadyForQuery, for a Query or FunctionCall.
    Query(Origin),
    /// ReadyForQuery, for a Sync.
    Ready,
    /// An error, in the place of a reply: to a Bind (`true`) or a Describe.
    Refusal(bool),
    /// The rows of a statement's description, behind its parameters.
    StatementRows(Origin, Option<Arc<Shape>>),
    /// The description of a statement: who gets its parameters, who its rows, and what is to keep both.
    StatementDescription(Origin, Origin, Option<Arc<Shape>>),
}

/// What to do with a frame from the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It is the client's.
    Forward,
    /// It answers a message of the proxy's own.
    Swallow,
}

/// A reply that answers nothing we sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the server sent a message of type {0:#04x} that was not expected")]
pub struct Unexpected(pub u8);

/// The replies owed, oldest first.
#[derive(Debug)]
pub struct Expectations<P> {
    queue: VecDeque<Expected<P>>,
}

impl<P> Default for Expectations<P> {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
        }
    }
}

impl<P> Expectations<P> {
    /// Adds a reply that will be owed after all the others.
    pub fn push(&mut self, expected: Expected<P>) {
        self.queue.push_back(expected);
    }

    /// Is nothing owed?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Will the last reply that is owed be ReadyForQuery?
    #[must_use]
    pub fn promises_ready(&self) -> bool {
        matches!(
            self.queue.back(),
            Some(Expected::Ready | Expected::Query(_))
        )
    }

    /// Is a simple query being answered?
    #[must_use]
    pub fn is_query(&self) -> bool {
        matches!(self.queue.front(), Some(Expected::Query(_)))
    }

    /// Notes a reply. Asynchronous messages (notices, notifications, parameters) and errors are not replies
    /// and must not be given to it.
    ///
    /// # Errors
    /// [`Unexpected`]: the connection has lost step and must be closed.
    pub fn on_reply(&mut self, tag: u8) -> Result<Fate, Unexpected> {
        let (fate, done) = match (self.queue.front().ok_or(Unexpected(tag))?, tag) {
            (Expected::Query(Origin::Client), _) => (Fate::Forward, tag == READY_FOR_QUERY),
            (Expected::Query(Origin::Proxy), _) => (Fate::Swallow, tag == READY_FOR_QUERY),
            (
                Expected::Execution,
                DATA_ROW | COPY_DATA | COPY_DONE | COPY_IN_RESPONSE | COPY_OUT_RESPONSE,
            ) => (Fate::Forward, false),
            (Expected::Execution, COMMAND_COMPLETE | EMPTY_QUERY_RESPONSE | PORTAL_SUSPENDED)
            | (Expected::BindComplete(_), BIND_COMPLETE)
            | (Expected::Ready, READY_FOR_QUERY)
            | (
                Expected::StatementRows(Origin::Client, _) | Expected::PortalDescription,
                ROW_DESCRIPTION | NO_DATA,
            )
            | (Expected::CloseComplete(Origin::Client), CLOSE_COMPLETE)
            | (Expected::ParseComplete(Origin::Client, _), PARSE_COMPLETE) => (Fate::Forward, true),
            (Expected::CloseComplete(Origin::Proxy), CLOSE_COMPLETE)
            | (Expected::StatementRows(Origin::Proxy, _), ROW_DESCRIPTION | NO_DATA)
            | (Expected::ParseComplete(Origin::Proxy, _), PARSE_COMPLETE) => (Fate::Swallow, true),
            (Expected::StatementDescription(parameters, rows, shape), PARAMETER_DESCRIPTION) => {
                let (parameters, rows, shape) = (*parameters, *rows, shape.clone());
                self.queue[0] = Expected::StatementRows(rows, shape);
                match parameters {
                    Origin::Client => (Fate::Forward, false),
                    Origin::Proxy => (Fate::Swallow, false),
                }
            }
            _ => return Err(Unexpected(tag)),
        };
        if done {
            self.queue.pop_front();
        }
        Ok(fate)
    }

    /// The proxy's own reply, if its turn has come.
    pub fn pop_local(&mut self) -> Option<Bytes> {
        match self.queue.pop_front()? {
            Expected::Local(message) | Expected::LocalDescription(message) => Some(message),
            other => {
                self.queue.push_front(other);
                None
            }
        }
    }

    /// The reply that comes next.
    #[must_use]
    pub fn next(&self) -> Option<&Expected<P>> {
        self.queue.front()
    }

    /// Notes an ErrorResponse: what was owed up to the next ReadyForQuery is void, and goes to `void`: first
    /// what failed, then what is skipped. Returns whether a ReadyForQuery is still owed; if not, the server ignores
    /// everything until a Sync.
    pub fn on_error(&mut self, mut void: impl FnMut(Expected<P>)) -> bool {
        while let Some(head) = self.queue.pop_front() {
            if matches!(head, Expected::Ready | Expected::Query(_)) {
                self.queue.push_front(head);
                return true;
            }
            void(head);
        }
        false
    }

    /// A COPY IN begun by an Execute has made the server read (and ignore) the Sync that was sent behind it,
    /// so no ReadyForQuery will answer that one.
    pub fn forget_sync(&mut self) {
        if let Some(at) = self
            .queue
            .iter()
            .position(|expected| matches!(expected, Expected::Ready))
        {
            self.queue.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(expected: &[Expected<u8>]) -> Expectations<u8> {
        Expectations {
            queue: expected.iter().cloned().collect(),
        }
    }

    #[test]
    fn replies_to_the_proxys_own_messages_are_swallowed() {
        let mut owed = queue(&[
            Expected::ParseComplete(Origin::Proxy, 1),
            Expected::BindComplete(None),
            Expected::Execution,
            Expected::Ready,
        ]);
        let tags = [
            PARSE_COMPLETE,
            BIND_COMPLETE,
            DATA_ROW,
            COMMAND_COMPLETE,
            READY_FOR_QUERY,
        ];
        let fates: Vec<_> = tags.iter().map(|&tag| owed.on_reply(tag)).collect();
        assert_eq!(fates[0], Ok(Fate::Swallow));
        assert!(fates[1..].iter().all(|fate| *fate == Ok(Fate::Forward)));
        assert!(owed.is_empty());
    }

    #[test]
    fn a_local_reply_waits_for_its_turn() {
        let mut owed = queue(&[
            Expected::Execution,
            Expected::Local(Bytes::from_static(&PARSE_COMPLETE_MESSAGE)),
            Expected::Ready,
        ]);
        assert_eq!(owed.pop_local(), None);
        assert_eq!(owed.on_reply(COMMAND_COMPLETE), Ok(Fate::Forward));
        assert_eq!(
            owed.pop_local(),
            Some(Bytes::from_static(&PARSE_COMPLETE_MESSAGE))
        );
        assert_eq!(owed.on_reply(READY_FOR_QUERY), Ok(Fate::Forward));
    }

    #[test]
    fn an_error_voids_everything_before_the_next_sync() {
        let mut owed = queue(&[
            Expected::Execution,
            Expected::ParseComplete(Origin::Client, 7),
            Expected::BindComplete(None),
            Expected::Ready,
            Expected::BindComplete(None),
        ]);
        let mut void = Vec::new();
        assert!(owed.on_error(|expected| void.push(expected)));
        assert_eq!(
            void,
            [
                Expected::Execution,
                Expected::ParseComplete(Origin::Client, 7),
                Expected::BindComplete(None),
            ]
        );
        assert_eq!(owed.on_reply(READY_FOR_QUERY), Ok(Fate::Forward));
        assert_eq!(owed.on_reply(BIND_COMPLETE), Ok(Fate::Forward));
        assert!(!queue(&[Expected::BindComplete(None)]).on_error(|_| ()));
    }

    #[test]
    fn a_reply_out_of_step_is_noticed() {
        assert_eq!(queue(&[]).on_reply(DATA_ROW), Err(Unexpected(DATA_ROW)));
        assert_eq!(
            queue(&[Expected::BindComplete(None)]).on_reply(DATA_ROW),
            Err(Unexpected(DATA_ROW))
        );
        assert_eq!(
            queue(&[Expected::Execution]).on_reply(READY_FOR_QUERY),
            Err(Unexpected(READY_FOR_QUERY))
        );
    }

    #[test]
    fn a_statement_is_described_in_two_messages() {
        let mut owed = queue(&[
            Expected::StatementDescription(Origin::Client, Origin::Client, None),
            Expected::StatementDescription(Origin::Proxy, Origin::Proxy, None),
            Expected::Ready,
        ]);
        for fate in [Fate::Forward, Fate::Swallow] {
            assert_eq!(owed.on_reply(PARAMETER_DESCRIPTION), Ok(fate));
            assert_eq!(owed.on_reply(NO_DATA), Ok(fate));
        }
        assert_eq!(owed.on_reply(READY_FOR_QUERY), Ok(Fate::Forward));
        assert!(owed.is_empty());
    }
}

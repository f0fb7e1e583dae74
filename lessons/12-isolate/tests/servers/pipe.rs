//! Servers on stdio on which the attacks succeed.

use std::collections::HashSet;

use hosting::between::{Between, Tap};
use hosting::layer::Server;
use rmcp::RoleServer;
use rmcp::model::{ClientNotification, JsonRpcMessage, RequestId};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};

use super::{Hoarder, tasks};

/// What is wrong with a connection, or with the server behind it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Flaw {
    /// Ends the oldest call when `initialize` is cancelled.
    EndsInitialize,
    /// Keeps cancels for ids that are texts, and lets them hit later calls.
    RemembersTexts,
    /// The same with numbers.
    RemembersNumbers,
    /// Gives the second call with an id another one, so that both run.
    TakesDuplicates,
    /// Keeps reasons as they come.
    KeepsReasons,
}

/// The server, and what stands between it and its client.
pub fn server(flaw: Flaw) -> (Server, Between) {
    let server = if flaw == Flaw::KeepsReasons { tasks().with(Hoarder) } else { tasks() };
    let tap = move || Wire { flaw, cancelled: HashSet::new(), called: HashSet::new() };
    (server, Between::default().connections(tap))
}

struct Wire {
    flaw: Flaw,
    cancelled: HashSet<RequestId>,
    called: HashSet<RequestId>,
}

impl Tap for Wire {
    fn received(
        &mut self,
        mut message: RxJsonRpcMessage<RoleServer>,
    ) -> RxJsonRpcMessage<RoleServer> {
        match &mut message {
            JsonRpcMessage::Notification(notification) => {
                let ClientNotification::CancelledNotification(cancel) =
                    &mut notification.notification
                else {
                    return message;
                };
                let Some(id) = &mut cancel.params.request_id else { return message };
                match (self.flaw, &*id) {
                    (Flaw::EndsInitialize, RequestId::String(text)) if &**text == "initialize" => {
                        *id = RequestId::Number(1);
                    }
                    (Flaw::RemembersTexts, RequestId::String(_))
                    | (Flaw::RemembersNumbers, RequestId::Number(_)) => {
                        self.cancelled.insert(id.clone());
                    }
                    _ => {}
                }
            }
            JsonRpcMessage::Request(request) => {
                let again = !self.called.insert(request.id.clone());
                if again && request.id == RequestId::Number(8) && self.flaw == Flaw::TakesDuplicates
                {
                    request.id = RequestId::Number(1000);
                }
                // The call that was cancelled before its time is never seen.
                if self.cancelled.contains(&request.id) {
                    request.id = RequestId::Number(2000);
                }
            }
            _ => {}
        }
        message
    }

    fn before(&mut self, _: &TxJsonRpcMessage<RoleServer>) -> Vec<TxJsonRpcMessage<RoleServer>> {
        Vec::new()
    }
}

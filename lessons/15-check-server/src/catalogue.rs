//! The behaviours: what is expected, and where the specification says so.

/// One line of the checklist.
#[derive(Debug)]
pub struct Behaviour {
    pub number: u32,
    pub title: &'static str,
    pub expected: &'static str,
    pub section: &'static str,
}

const CANCELLATION: &str = "basic, cancellation";
const LIFECYCLE: &str = "basic/lifecycle, shutdown";
const HTTP_2025: &str = "2025-11-25 basic/transports, streamable HTTP";
const HTTP_2026: &str = "2026-07-28 basic/transports/streamable-http";
const SUBSCRIPTIONS: &str = "2026-07-28 basic/utilities/subscriptions";
const TASKS: &str = "extension io.modelcontextprotocol/tasks (SEP-2663)";

const fn b(
    number: u32,
    title: &'static str,
    expected: &'static str,
    section: &'static str,
) -> Behaviour {
    Behaviour { number, title, expected, section }
}

/// The behaviour with this number.
pub fn behaviour(number: u32) -> &'static Behaviour {
    let found = ALL.iter().find(|behaviour| behaviour.number == number);
    found.unwrap_or_else(|| panic!("there is no behaviour {number}"))
}

/// All that can be checked, in order.
#[rustfmt::skip]
pub const ALL: &[Behaviour] = &[
    b(1, "the work stops", "the receiver stops the work and frees what it holds", CANCELLATION),
    b(2, "no result after the cancel", "a cancelled request gets no result", CANCELLATION),
    b(3, "no error after the cancel", "a cancelled request gets no error either", CANCELLATION),
    b(4, "no progress after the cancel", "nothing more is sent about a cancelled request", CANCELLATION),
    b(5, "the connection serves on", "a later request is answered", CANCELLATION),
    b(6, "another call is untouched", "a cancel stops the call that it names and no other", CANCELLATION),
    b(7, "an unknown id is ignored", "a cancel for an id that was never used changes nothing", CANCELLATION),
    b(8, "a finished id is ignored", "a cancel for a finished request changes nothing", CANCELLATION),
    b(9, "a malformed cancel is ignored", "a cancel whose id is missing, null, an object or a bool changes nothing", CANCELLATION),
    b(10, "never two answers", "a cancel that races the answer leaves one answer or none", CANCELLATION),
    b(11, "ids are typed", "\"7\" does not cancel 7", CANCELLATION),
    b(12, "the id 0 can be cancelled", "0 is an id like any other", CANCELLATION),
    b(13, "a duplicate id does no harm", "the server outlives a client that uses an id twice", "basic, requests"),
    b(14, "a second cancel does no harm", "a cancel for a cancelled request changes nothing", CANCELLATION),
    b(15, "the reason arrives", "the tool, the status or the log knows the reason", CANCELLATION),
    b(16, "a running tool blocks nobody", "another request is answered within 5 s while the tool runs", CANCELLATION),
    b(17, "an early cancel counts", "a cancel right behind its call stops it", CANCELLATION),
    b(18, "cancelled calls free their places", "after many cancelled calls a new one starts", CANCELLATION),
    b(19, "the server's own word is true", "what it calls stopped does not go on", CANCELLATION),
    b(20, "what the call held is released", "child processes, files and connections of the call are gone", CANCELLATION),
    b(21, "the end of input ends the server", "the server exits within 5 s and leaves no process behind", LIFECYCLE),
    b(22, "an answer under way is still given", "a request that was sent before the end of input is answered", LIFECYCLE),
    b(23, "a cancelled call stays silent at the end", "the end of input brings no answer to a cancelled call", CANCELLATION),
    b(24, "the end of a session stops its calls", "DELETE stops what the session runs", HTTP_2025),
    b(25, "a stuck client does not keep the server", "the server exits though nobody reads its output", LIFECYCLE),
    b(26, "the cancel is answered 202, empty", "a POSTed notification is answered 202 without a body", HTTP_2025),
    b(27, "the call's own POST ends", "the caller is not left waiting", HTTP_2025),
    b(28, "a lost connection does not cancel", "the call runs on, and can be resumed", HTTP_2025),
    b(29, "resuming a cancelled call ends", "a resumed stream ends, and brings no result", HTTP_2025),
    b(30, "another session cannot cancel", "an id belongs to its session", HTTP_2025),
    b(31, "nothing moves to the GET stream", "no frame of a cancelled call appears elsewhere", HTTP_2025),
    b(32, "a cancel can reach its call", "without sessions a POSTed cancel still finds the call", HTTP_2025),
    b(33, "a closed stream stops the work", "closing the response stream is the cancel", HTTP_2026),
    b(34, "closed before the first byte", "closing counts before anything was sent", HTTP_2026),
    b(35, "closed while JSON is awaited", "closing counts when the answer is no stream", HTTP_2026),
    b(36, "exactly that request", "another stream with the same id runs on", HTTP_2026),
    b(37, "a POSTed cancel hits nobody", "another caller's call runs on", HTTP_2026),
    b(39, "a subscription can be cancelled", "after the cancel nothing is sent for it", SUBSCRIPTIONS),
    b(41, "the server cancels none of our calls", "a server cancels subscriptions only", SUBSCRIPTIONS),
    b(42, "a subscription does not keep the server", "the end of input ends a server with an open subscription", SUBSCRIPTIONS),
    b(43, "tasks/cancel is acknowledged", "the answer is exactly {\"resultType\":\"complete\"}", TASKS),
    b(44, "a cancelled task settles", "its status becomes final and stays so", TASKS),
    b(45, "an unknown task is an error", "tasks/cancel for an unknown id answers -32602", TASKS),
    b(46, "a finished task stays as it is", "tasks/cancel for it is acknowledged and changes nothing", TASKS),
    b(47, "tasks need the capability", "without it tasks/cancel answers -32021", TASKS),
    b(48, "a waiting task can be cancelled", "a task that waits for input settles when it is cancelled", TASKS),
    b(49, "the request's cancel spares the task", "notifications/cancelled does not stop a task", TASKS),
    b(50, "an abandoned call is cancelled once", "one cancel, with the call's own id", CANCELLATION),
    b(51, "a timeout cancels", "a caller who no longer waits tells the server", CANCELLATION),
    b(52, "initialize is never cancelled", "no cancel names the handshake", CANCELLATION),
    b(53, "a finished call is not cancelled", "no cancel after the answer", CANCELLATION),
    b(54, "only calls that were sent are cancelled", "no cancel names an id that was not used", CANCELLATION),
    b(55, "a late answer does no harm", "the client goes on after an answer to a cancelled call", CANCELLATION),
    b(56, "the caller is free at once", "the client goes on though the server says nothing", CANCELLATION),
    b(57, "the stream is closed, nothing is POSTed", "closing the response stream is the cancel", HTTP_2026),
];

/// What a server must be so that this behaviour of it can be checked.
pub fn about(number: u32) -> &'static str {
    match number {
        21 | 22 | 23 | 25 => "stdio, and checked in the first revision that a server speaks",
        24 | 26..=32 => "HTTP 2025-11-25",
        33..=37 => "HTTP 2026-07-28",
        42 => "stdio 2026-07-28",
        39 | 41 | 43..=49 => "2026-07-28",
        50.. => "clients, see `mcp-cancel-check client`",
        5 | 15 | 16 | 18 | 19 | 20 => "every server",
        _ => {
            "servers that are told by a message to cancel; on HTTP 2026-07-28 it is the closed stream, see 33 to 37"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn the_page_lists_them() {
        let page = include_str!("../../../docs/src/check-server.md");
        for known in ALL {
            let row = format!(
                "| {} | {} | {} | {} |",
                known.number, known.title, known.expected, known.section
            );
            assert!(page.contains(&row), "check-server.md lacks the row\n{row}");
        }
    }
}

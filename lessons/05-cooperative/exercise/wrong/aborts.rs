//! Hint: the library is still at work, and the server's list says that the call is Cancelled

use std::ops::ControlFlow::Continue;

use course::exercise::tool::{Context, Outcome};
use tokio::task::spawn_blocking;

use crate::check::Library;

pub async fn render(pages: u32, library: Library, ctx: Context) -> Outcome {
    let mut thread = spawn_blocking(move || library.render(pages, |_| Continue(())));
    tokio::select! {
        () = ctx.ct.cancelled() => {
            thread.abort();
            Ok(None)
        }
        rendered = &mut thread => Ok(Some(format!("rendered {} pages", rendered?))),
    }
}

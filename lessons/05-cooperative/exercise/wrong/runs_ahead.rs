//! Hint: the library is still at work, and the server's list says that the call is Cancelled

use std::ops::ControlFlow::{Break, Continue};

use course::exercise::tool::{Context, Outcome};
use tokio::task::spawn_blocking;

use crate::check::Library;

pub async fn render(pages: u32, library: Library, ctx: Context) -> Outcome {
    let stop = ctx.ct.clone();
    let on_page = move |_| if stop.is_cancelled() { Break(()) } else { Continue(()) };
    tokio::select! {
        () = ctx.ct.cancelled() => Ok(None),
        rendered = spawn_blocking(move || library.render(pages, on_page)) => {
            Ok(Some(format!("rendered {} pages", rendered?)))
        }
    }
}

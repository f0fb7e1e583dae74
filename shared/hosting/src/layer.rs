//! One type for every server, and one way to put something around it.
//!
//! A lesson's server has a type of its own. Hosting it as that type would compile rmcp's whole
//! service again in each lesson, so [`Server`] forgets the type. A [`Layer`] is a decorator: it
//! stands around a server and changes what it implements. All else passes through, and this is
//! the only file where that is written down.

#![allow(deprecated, reason = "a server of 2025-11-25 may have methods that 2026-07-28 deprecates")]

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CancelTaskParams, CancelledNotificationParam,
    CompleteRequestParams, CompleteResult, CustomNotification, CustomRequest, CustomResult,
    GetPromptRequestParams, GetPromptResponse, GetSkillRequestParams, GetSkillResult,
    GetTaskParams, GetTaskResult, ListPromptsResult, ListResourceTemplatesResult,
    ListResourcesResult, ListSkillsResult, ListToolsResult, PaginatedRequestParams,
    ProgressNotificationParam, ReadResourceDirectoryRequestParams, ReadResourceDirectoryResult,
    ReadResourceRequestParams, ReadResourceResponse, ServerConfig, SetLevelRequestParams,
    SubscribeRequestParams, SubscriptionFilter, Tool, UnsubscribeRequestParams, UpdateTaskParams,
};
use rmcp::service::{NotificationContext, RequestContext, SubscriptionContext};
use rmcp::{ErrorData, RoleServer, ServerHandler};

type Answer<T> = Result<T, ErrorData>;
type Request = RequestContext<RoleServer>;
type Notification = NotificationContext<RoleServer>;

/// A server of any type. Clones share it.
#[derive(Clone)]
pub struct Server(Arc<dyn Handler>);

impl Server {
    /// Forgets the server's type.
    pub fn new(server: impl ServerHandler) -> Self {
        Self(Arc::new(Plain(server)))
    }

    /// The same server with this layer around it.
    #[must_use]
    pub fn with(self, layer: impl Layer) -> Self {
        Self(Arc::new(Layered { layer, next: self }))
    }
}

/// A server as it was written.
struct Plain<S>(S);

/// A server and what stands around it.
struct Layered<L> {
    layer: L,
    next: Server,
}

/// `ServerHandler` cannot be a trait object, because its futures have no names. So each of its
/// methods is listed here once, and the macro writes what all of them need: the method with a
/// boxed future, the default of a layer, and the three places that forward.
macro_rules! methods {
    (
        async { $($name:ident($($argument:ident: $type:ty),+) -> $output:ty;)+ }
        sync { $($get:ident($($key:ident: $key_type:ty)?) -> $value:ty;)+ }
    ) => {
        trait Handler: Send + Sync + 'static {
            $(fn $name(&self, $($argument: $type),+) -> BoxFuture<'_, $output>;)+
            $(fn $get(&self $(, $key: $key_type)?) -> $value;)+
        }
        impl<S: ServerHandler> Handler for Plain<S> {
            $(fn $name(&self, $($argument: $type),+) -> BoxFuture<'_, $output> {
                self.0.$name($($argument),+).boxed()
            })+
            $(fn $get(&self $(, $key: $key_type)?) -> $value { self.0.$get($($key)?) })+
        }

        impl<L: Layer> Handler for Layered<L> {
            $(fn $name(&self, $($argument: $type),+) -> BoxFuture<'_, $output> {
                self.layer.$name(&self.next, $($argument),+)
            })+
            $(fn $get(&self $(, $key: $key_type)?) -> $value {
                self.layer.$get(&self.next $(, $key)?)
            })+
        }

        /// Something that stands around a server. Each method gets the server that it stands
        /// around, `next`, and asks it, unless the layer says otherwise.
        #[allow(missing_docs, reason = "each method is rmcp's own, and described there")]
        pub trait Layer: Send + Sync + 'static {
            $(fn $name<'a>(
                &'a self, next: &'a Server, $($argument: $type),+
            ) -> BoxFuture<'a, $output> {
                next.0.$name($($argument),+)
            })+
            $(fn $get(&self, next: &Server $(, $key: $key_type)?) -> $value {
                next.0.$get($($key)?)
            })+
        }

        /// `initialize` and `discover` are missing here: rmcp answers both from `get_info`, so
        /// a layer that changes that changes them too. So are `negotiate_initialize` and
        /// `supported_protocol_versions`: every server here speaks the revisions that rmcp speaks.
        impl ServerHandler for Server {
            $(fn $name(
                &self, $($argument: $type),+
            ) -> impl Future<Output = $output> + Send + '_ {
                self.0.$name($($argument),+)
            })+
            $(fn $get(&self $(, $key: $key_type)?) -> $value { self.0.$get($($key)?) })+
        }
    };
}

methods! {
    async {
        ping(ctx: Request) -> Answer<()>;
        complete(request: CompleteRequestParams, ctx: Request) -> Answer<CompleteResult>;
        set_level(request: SetLevelRequestParams, ctx: Request) -> Answer<()>;
        get_prompt(request: GetPromptRequestParams, ctx: Request) -> Answer<GetPromptResponse>;
        list_prompts(page: Option<PaginatedRequestParams>, ctx: Request) -> Answer<ListPromptsResult>;
        list_resources(page: Option<PaginatedRequestParams>, ctx: Request) -> Answer<ListResourcesResult>;
        list_resource_templates(page: Option<PaginatedRequestParams>, ctx: Request) -> Answer<ListResourceTemplatesResult>;
        read_resource(request: ReadResourceRequestParams, ctx: Request) -> Answer<ReadResourceResponse>;
        read_resource_directory(request: ReadResourceDirectoryRequestParams, ctx: Request) -> Answer<ReadResourceDirectoryResult>;
        subscribe(request: SubscribeRequestParams, ctx: Request) -> Answer<()>;
        unsubscribe(request: UnsubscribeRequestParams, ctx: Request) -> Answer<()>;
        listen(ctx: SubscriptionContext) -> Answer<()>;
        call_tool(request: CallToolRequestParams, ctx: Request) -> Answer<CallToolResponse>;
        list_tools(page: Option<PaginatedRequestParams>, ctx: Request) -> Answer<ListToolsResult>;
        get_task(request: GetTaskParams, ctx: Request) -> Answer<GetTaskResult>;
        update_task(request: UpdateTaskParams, ctx: Request) -> Answer<()>;
        cancel_task(request: CancelTaskParams, ctx: Request) -> Answer<()>;
        list_skills(page: Option<PaginatedRequestParams>, ctx: Request) -> Answer<ListSkillsResult>;
        get_skill(request: GetSkillRequestParams, ctx: Request) -> Answer<GetSkillResult>;
        on_custom_request(request: CustomRequest, ctx: Request) -> Answer<CustomResult>;
        on_cancelled(params: CancelledNotificationParam, ctx: Notification) -> ();
        on_progress(params: ProgressNotificationParam, ctx: Notification) -> ();
        on_initialized(ctx: Notification) -> ();
        on_roots_list_changed(ctx: Notification) -> ();
        on_custom_notification(notification: CustomNotification, ctx: Notification) -> ();
    }
    sync {
        get_info() -> ServerConfig;
        get_tool(name: &str) -> Option<Tool>;
        accepted_subscription_filter(wanted: &SubscriptionFilter) -> Option<SubscriptionFilter>;
    }
}

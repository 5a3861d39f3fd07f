//! The way of comparisons to peers: a call (RPC) like those of the messenger, under the same limits.

use std::sync::Arc;

use actors::gateway::Gateway;
use actors::model::ServerName;
use actors::ports::Task;
use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use crate::comparison::{CompareLine, CompareLineFault, PeerReply};
use crate::egress::{EgressClient, PeerCall, PeerCallFault};
use crate::http::body::encoded::BodyEncoding;
use crate::json::nesting::BodyNestingLimit;
use crate::rpc::{CallRegister, RpcDirection, RpcResult};

/// Calls peers for comparisons.
#[derive(Clone)]
pub(in crate::app) struct PeerCompareLine {
    pub(in crate::app) gateway: Gateway,
    pub(in crate::app) egress: Arc<EgressClient>,
    pub(in crate::app) calls: Arc<CallRegister>,
    pub(in crate::app) nesting: BodyNestingLimit,
}

impl CompareLine for PeerCompareLine {
    fn ask(&self, peer: &ServerName, body: Bytes, until: Instant) -> Task<Result<PeerReply, CompareLineFault>> {
        let (line, peer) = (self.clone(), peer.clone());
        Box::pin(async move {
            let permit = line.calls.admit(RpcDirection::Out, &peer).map_err(CompareLineFault::Busy)?;
            let answered = line.answered(&peer, body, until).await;
            permit.end(match &answered {
                Ok(_) => RpcResult::Answered,
                Err(CompareLineFault::Suspended(_)) => RpcResult::Suspended,
                Err(CompareLineFault::Busy(_) | CompareLineFault::Unreachable(_)) => RpcResult::Unavailable,
                Err(CompareLineFault::BadAnswer(_)) => RpcResult::BadAnswer,
                Err(CompareLineFault::TimedOut) => RpcResult::TimedOut,
            });
            answered
        })
    }
}

impl PeerCompareLine {
    async fn answered(&self, peer: &ServerName, body: Bytes, until: Instant) -> Result<PeerReply, CompareLineFault> {
        let limits = self.calls.limits();
        let until = until.min(Instant::now() + limits.timeout_max);
        let status = timeout_at(until, self.gateway.peer(peer)).await.map_err(|_elapsed| CompareLineFault::TimedOut)?;
        let status = status.map_err(|error| CompareLineFault::Unreachable(error.to_string()))?;
        if let Some(cause) = status.shut {
            let words = format!("{peer} is suspended ({}); see `fernpost peer show {peer}`", cause.as_str());
            return Err(CompareLineFault::Suspended(words));
        }
        let of_peer = self.gateway.ports().roster.limits_of(peer);
        let encoding = if of_peer.habits.protobuf { BodyEncoding::Protobuf } else { BodyEncoding::Json };
        let call = PeerCall { body, encoding, until, connect: of_peer.connect_timeout, answer_max: limits.body_max };
        let answer = self.egress.call(peer, call).await.map_err(|fault| match fault {
            PeerCallFault::Unreachable(why) => CompareLineFault::Unreachable(why),
            PeerCallFault::BadAnswer(why) => CompareLineFault::BadAnswer(why),
            PeerCallFault::TimedOut => CompareLineFault::TimedOut,
        })?;
        self.nesting.check(&answer.body).map_err(|deep| CompareLineFault::BadAnswer(deep.to_string()))?;
        Ok(PeerReply { status: answer.status, body: answer.body })
    }
}

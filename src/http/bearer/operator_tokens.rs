//! The tokens of the operator's listener, each with a role.

use std::sync::Arc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, ResponseError, web};
use actors::supervise::log_throttle::LogThrottle;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::http::bearer::operator_role::OperatorRole;
use crate::http::bearer::{given_digest, refusals_log, token_digest, unauthenticated_answer};
use crate::http::error::ApiError;

/// Name of the key in the log of refusals.
const KEY: &str = "admin.tokens";

/// A token that is accepted now.
#[derive(Clone)]
pub struct AcceptedToken {
    name: Arc<str>,
    role: OperatorRole,
    digest: [u8; 32],
}

impl AcceptedToken {
    /// Returns the token of this name.
    pub fn new(name: &str, role: OperatorRole, token: &str) -> Self {
        Self { name: name.into(), role, digest: token_digest(token.as_bytes()) }
    }
}

/// The source of the tokens in force, which a reload replaces.
pub type TokenSource = Arc<dyn Fn() -> Vec<AcceptedToken> + Send + Sync>;

/// The tokens of the operator's listener. They are put into the application's data for [`require_operator`].
#[derive(Clone)]
pub struct OperatorTokens {
    accepted: TokenSource,
    /// True if there was a token when the listener began. A reload that removes all tokens must not open it, because its address was
    /// only permitted with a token.
    is_closed: bool,
    refused: LogThrottle,
}

/// The caller of an operator's call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorCaller {
    /// Name of the caller's token; `None`: the listener needs none.
    pub name: Option<Arc<str>>,
    /// Role of the caller.
    pub role: OperatorRole,
}

impl OperatorTokens {
    /// Returns the check for a listener; it is open if there is no token now.
    pub fn new(accepted: TokenSource) -> Self {
        let is_closed = !accepted().is_empty();
        Self { accepted, is_closed, refused: refusals_log() }
    }

    /// Returns whether the listener began without a token.
    pub fn is_open(&self) -> bool {
        !self.is_closed
    }

    /// Returns the caller that the token in these headers names.
    ///
    /// The digest of the token is compared with each digest in constant time, and all are compared, so that no time depends on which one
    /// fits.
    pub fn caller(&self, headers: &HeaderMap) -> Result<OperatorCaller, ApiError> {
        let accepted = (self.accepted)();
        if accepted.is_empty() && !self.is_closed {
            return Ok(OperatorCaller { name: None, role: OperatorRole::Administer });
        }
        let given = given_digest(headers)?;
        let mut found = u32::MAX;
        for (place, token) in (0..).zip(&accepted) {
            found.conditional_assign(&place, matches(&given, &token.digest));
        }
        let token = usize::try_from(found).ok().and_then(|place| accepted.get(place));
        let token = token.ok_or_else(|| ApiError::unauthenticated("the bearer token is wrong"))?;
        Ok(OperatorCaller { name: Some(token.name.clone()), role: token.role })
    }
}

fn matches(one: &[u8; 32], other: &[u8; 32]) -> Choice {
    one.as_slice().ct_eq(other.as_slice())
}

/// Middleware for the scope: refuses requests without a token in force, and tells the handlers who calls.
pub async fn require_operator(
    tokens: web::Data<OperatorTokens>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match tokens.caller(request.headers()) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.call(request).await.map(ServiceResponse::map_into_boxed_body)
        }
        Err(problem) => {
            let from = request.peer_addr().map_or_else(|| "no address".to_owned(), |address| address.to_string());
            tokens.refused.note(KEY, 1, &format!("{from}: {problem}"));
            Ok(request.into_response(unauthenticated_answer(&problem)))
        }
    }
}

/// Middleware for a route: refuses callers without this role. A request without a caller did not come through [`require_operator`], and
/// is refused, too.
pub async fn require_role(
    role: OperatorRole,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let caller = request.extensions().get::<OperatorCaller>().cloned();
    match check_role(caller.as_ref(), role) {
        Ok(()) => next.call(request).await.map(ServiceResponse::map_into_boxed_body),
        Err(problem) => Ok(request.into_response(problem.error_response())),
    }
}

/// Returns an error unless the caller has this role.
pub fn check_role(caller: Option<&OperatorCaller>, role: OperatorRole) -> Result<(), ApiError> {
    let words = match caller {
        Some(caller) if caller.role >= role => return Ok(()),
        Some(OperatorCaller { name: Some(name), role: has }) => {
            format!("the token {name} has the role {has}, and this call needs {role}; use a token with that role")
        }
        _ => format!("this call needs a token with the role {role}"),
    };
    Err(ApiError::new(StatusCode::FORBIDDEN, role.code(), words))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{AUTHORIZATION, HeaderValue};
    use parking_lot::Mutex;

    use super::*;

    fn asked(tokens: &OperatorTokens, token: Option<&str>) -> Option<(Option<String>, OperatorRole)> {
        let value = |token: &str| HeaderValue::from_str(&format!("Bearer {token}")).expect("a header");
        let headers = token.map(|token| (AUTHORIZATION, value(token))).into_iter().collect();
        let caller = tokens.caller(&headers).ok()?;
        Some((caller.name.map(|name| name.to_string()), caller.role))
    }

    #[test]
    fn token_names_caller_and_role() {
        let all = [("watch", OperatorRole::Read, "a-1"), ("desk", OperatorRole::Operate, "b-1")];
        let all: Vec<_> = all.iter().map(|(name, role, token)| AcceptedToken::new(name, *role, token)).collect();
        let tokens = OperatorTokens::new(Arc::new(move || all.clone()));
        assert_eq!(asked(&tokens, Some("a-1")), Some((Some("watch".to_owned()), OperatorRole::Read)));
        assert_eq!(asked(&tokens, Some("b-1")), Some((Some("desk".to_owned()), OperatorRole::Operate)));
        for wrong in [None, Some(""), Some("a"), Some("a-11"), Some("c-1")] {
            assert_eq!(asked(&tokens, wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn removed_tokens_never_open_listener() {
        let now = Arc::new(Mutex::new(vec![AcceptedToken::new("desk", OperatorRole::Operate, "b-1")]));
        let read = now.clone();
        let tokens = OperatorTokens::new(Arc::new(move || read.lock().clone()));
        now.lock().clear();
        assert_eq!([asked(&tokens, None), asked(&tokens, Some("b-1"))], [None, None]);

        let open = Arc::new(Mutex::new(vec![]));
        let read = open.clone();
        let tokens = OperatorTokens::new(Arc::new(move || read.lock().clone()));
        assert_eq!(asked(&tokens, None), Some((None, OperatorRole::Administer)));
        open.lock().push(AcceptedToken::new("desk", OperatorRole::Operate, "b-1"));
        assert_eq!(asked(&tokens, None), None, "the first token closes it");
    }

    #[test]
    fn roles_contain_earlier_roles() {
        assert!(OperatorRole::Read < OperatorRole::Operate && OperatorRole::Operate < OperatorRole::Administer);
    }
}

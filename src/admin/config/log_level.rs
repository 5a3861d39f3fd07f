//! `/admin/v1/log`: the level of the log, and another one for a time.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};

use crate::admin::AdminApi;
use crate::admin::answer::{OperatorBody, OperatorCall, server};
use crate::api::configuration::{LogLevelDetails, LogLevelRequest, PassingLevelDetails};
use crate::http::error::ApiError;
use crate::http::responses::rfc3339;
use crate::telemetry;
use crate::telemetry::log_control::{LogControl, PassingLevel};
use crate::telemetry::log_format::LogFormat;

/// Shortest and longest time of a level: a forgotten one must not fill the disk.
const TIME_MIN: Duration = Duration::from_secs(1);
const TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Returns the levels in force.
pub(in crate::admin) async fn show() -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(details(control()?)))
}

/// Logs by another level for a time.
pub(in crate::admin) async fn set(
    api: web::Data<AdminApi>,
    operator: OperatorCall,
    OperatorBody(asked): OperatorBody<LogLevelRequest>,
) -> Result<HttpResponse, ApiError> {
    let control = control()?;
    let target = asked.level.clone();
    let done = pass(&api, control, asked);
    operator.log_action("log", &target, done.as_ref().copied());
    done.map(|()| HttpResponse::Ok().json(details(control)))
}

fn pass(api: &AdminApi, control: &LogControl, asked: LogLevelRequest) -> Result<(), ApiError> {
    let LogLevelRequest { level, peer, time } = asked;
    let time = humantime::parse_duration(&time).ok().filter(|time| (TIME_MIN..=TIME_MAX).contains(time));
    let time = time.ok_or_else(|| {
        ApiError::unprocessable("BAD_TIME", "`for` is a time from \"1s\" to \"24h\", such as \"10m\"")
    })?;
    let peer = peer.map(|name| server(&api.gateway, &name)).transpose()?;
    let until = api.gateway.ports().clock.now().after(time);
    let passing = PassingLevel { level, peer: peer.map(|server| server.to_string()), until };
    control.pass(passing, time).map_err(|error| ApiError::unprocessable("BAD_LEVEL", error.to_string()))
}

fn control() -> Result<&'static LogControl, ApiError> {
    let none = || ApiError::new(StatusCode::CONFLICT, "NO_LOG", "this process writes no log");
    telemetry::control().ok_or_else(none)
}

fn details(control: &LogControl) -> LogLevelDetails {
    let levels = control.levels();
    let format = match levels.format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    let passing = levels.passing.map(|PassingLevel { level, peer, until }| {
        let until = rfc3339(until);
        PassingLevelDetails { level, peer, until }
    });
    LogLevelDetails { standing: levels.standing, format: format.into(), passing }
}

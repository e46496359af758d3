//! How long a call may take.

use std::future::Future;
use std::time::{Duration, Instant};

use vdom_core::limits::UNARY_DEADLINE_DEFAULT;
use vdom_core::{Error, ErrorCode, Result};

use crate::caller::Caller;

/// The deadline of a unary call, and of a stream's beginning: the caller's own,
/// else the default. A caller who named none goes on having none: waits have
/// shorter limits of their own then.
pub fn of_answer(caller: &Caller) -> Instant {
    caller.deadline.unwrap_or_else(|| now() + UNARY_DEADLINE_DEFAULT)
}

/// The runtime's clock, which tests may hold.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The answer of `call`, or `DeadlineExceeded` where it comes too late.
pub async fn within<T>(deadline: Instant, call: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout_at(deadline.into(), call).await {
        Ok(answer) => answer,
        Err(_) => Err(exceeded()),
    }
}

/// The error of a call that took too long.
pub fn exceeded() -> Error {
    Error::new(
        ErrorCode::DeadlineExceeded,
        "the deadline passed before the answer; a write may still happen: repeat it with the \
         same operation_id",
    )
}

/// Reads a `grpc-timeout`: 1 to 8 digits and one of `H M S m u n`.
pub fn parse_grpc_timeout(text: &str) -> Result<Duration> {
    let refused = || {
        Error::invalid(format!(
            "grpc-timeout {text:?} is not 1 to 8 digits and one of H, M, S, m, u, n"
        ))
    };
    let (amount, unit) = text.split_at_checked(text.len().wrapping_sub(1)).ok_or_else(refused)?;
    if amount.is_empty() || amount.len() > 8 || !amount.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(refused());
    }
    let amount: u64 = amount.parse().map_err(|_| refused())?;
    Ok(match unit {
        "H" => Duration::from_secs(amount * 3_600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return Err(refused()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_timeouts_are_read_and_bad_ones_refused() {
        assert_eq!(parse_grpc_timeout("15S"), Ok(Duration::from_secs(15)));
        assert_eq!(parse_grpc_timeout("99999999H"), Ok(Duration::from_secs(99_999_999 * 3_600)));
        assert_eq!(parse_grpc_timeout("250m"), Ok(Duration::from_millis(250)));
        for bad in ["", "S", "15", "-1S", "1 S", "123456789S", "1é", "1s"] {
            assert_eq!(
                parse_grpc_timeout(bad).map_err(|error| error.code),
                Err(ErrorCode::InvalidArgument),
                "{bad:?}"
            );
        }
    }
}

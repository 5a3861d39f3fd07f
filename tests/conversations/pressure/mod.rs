//! Overload and limits: full queues, held requests, staging, and poison PDUs.

mod full;
mod held;
mod limits;
mod overload;
mod poison;
mod staging;
mod waiting_reads;

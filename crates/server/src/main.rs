//! The binary `creel`: everything is in the library, so that tests can run it in their own process.

use std::process::ExitCode;

// Many small allocations over many threads for a long time: glibc's allocator keeps what it once had.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    creel::cli::main()
}

"""Operations that take several calls: waiting for, following and running a job."""

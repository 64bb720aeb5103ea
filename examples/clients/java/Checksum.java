import com.google.gson.Gson;
import com.headrace.v1.JobInfo;
import com.headrace.v1.JobServiceGrpc;
import com.headrace.v1.JobSpec;
import com.headrace.v1.JobStatus;
import com.headrace.v1.JobUpdate;
import com.headrace.v1.SubmitJobRequest;
import com.headrace.v1.Value;
import com.headrace.v1.WatchJobRequest;
import com.headrace.v1.WatchJobResponse;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.TimeUnit;

/** Submits a job, follows it to its end and prints what it returned: java Checksum TARGET DIRECTORY. */
public final class Checksum {
  /** How long a watch goes on without its server. */
  private static final long PATIENCE = TimeUnit.SECONDS.toNanos(60);

  public static void main(String[] words) throws Exception {
    String target = words.length > 0 ? words[0] : "127.0.0.1:50551";
    String directory = words.length > 1 ? words[1] : "/usr/share";
    String proto = System.getenv().getOrDefault("HEADRACE_PROTO", "../../../proto");
    // Unary calls that failed for want of a server are repeated by gRPC itself.
    String config = Files.readString(Path.of(proto, "headrace/v1/service_config.json"));
    @SuppressWarnings("unchecked")
    Map<String, ?> read = new Gson().fromJson(config, Map.class);
    ManagedChannel channel =
        ManagedChannelBuilder.forTarget(target).usePlaintext().defaultServiceConfig(read).enableRetry().build();
    int code = 1;
    try {
      code = run(JobServiceGrpc.newBlockingStub(channel), directory) ? 0 : 1;
    } catch (StatusRuntimeException error) {
      System.err.println(error.getStatus().getCode() + ": " + error.getStatus().getDescription());
    } finally {
      channel.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
    }
    System.exit(code);
  }

  private static boolean run(JobServiceGrpc.JobServiceBlockingStub jobs, String directory)
      throws InterruptedException {
    JobSpec spec =
        JobSpec.newBuilder()
            .setType("files.checksum")
            .putParameters("path", Value.newBuilder().setStringValue(directory).build())
            .putParameters("passes", Value.newBuilder().setIntValue(2).build())
            .putLabels("from", "java")
            .build();
    // The same request id gives the same job, however often this is sent.
    String once = UUID.randomUUID().toString();
    String jobId =
        jobs.withDeadlineAfter(30, TimeUnit.SECONDS)
            .submitJob(SubmitJobRequest.newBuilder().setRequestId(once).setSpec(spec).build())
            .getJob()
            .getJobId();
    System.err.println("submitted " + jobId);
    JobInfo job = watch(jobs, jobId);
    if (job.getStatus() != JobStatus.JOB_STATUS_SUCCEEDED) {
      System.err.println(job.getStatus() + ": " + job.getError().getMessage());
      return false;
    }
    System.out.println(job.getResult().getStringValue());
    return true;
  }

  /** Tells every update of a job and returns it as it ended. A watch that broke goes on behind the last event. */
  private static JobInfo watch(JobServiceGrpc.JobServiceBlockingStub jobs, String jobId)
      throws InterruptedException {
    // No revision: a snapshot first.
    WatchJobRequest.Builder request = WatchJobRequest.newBuilder().setJobId(jobId).setIncludeMessages(true);
    long heard = System.nanoTime();
    while (true) {
      try {
        Iterator<WatchJobResponse> answers = jobs.watchJob(request.build());
        while (answers.hasNext()) {
          JobUpdate update = answers.next().getUpdate();
          heard = System.nanoTime();
          switch (update.getKindCase()) {
            case FINISHED:
              return update.getFinished();
            case SNAPSHOT:
              request.setAfterRevision(update.getSnapshot().getRevision());
              break;
            case EVENT:
              request.setAfterRevision(update.getEvent().getRevision());
              if (update.getEvent().hasStatusChanged()) {
                System.err.println(update.getEvent().getStatus().name().replace("JOB_STATUS_", ""));
              } else if (update.getEvent().hasMessageLogged()) {
                System.err.println(update.getEvent().getMessageLogged().getText());
              }
              break;
            case PROGRESS:
              System.err.println(update.getProgress().getDone() + " of " + update.getProgress().getTotal());
              break;
            default: // a heartbeat, or what a newer server says besides
          }
        }
      } catch (StatusRuntimeException error) {
        Status.Code code = error.getStatus().getCode();
        boolean passes = code == Status.Code.UNAVAILABLE || code == Status.Code.CANCELLED;
        if (!passes || System.nanoTime() - heard > PATIENCE) {
          throw error;
        }
      }
      Thread.sleep(500);
    }
  }
}

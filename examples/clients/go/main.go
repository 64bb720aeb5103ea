// Submits a job, follows it to its end and prints what it returned: checksum TARGET DIRECTORY
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	headrace "checksum/headrace/v1" // made by buf or protoc, see docs/clients.md

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// How long a watch goes on without its server.
const patience = time.Minute

func main() {
	target, directory := "127.0.0.1:50551", "/usr/share"
	if len(os.Args) == 3 {
		target, directory = os.Args[1], os.Args[2]
	}
	if err := run(target, directory); err != nil {
		if refused, is := status.FromError(err); is {
			fmt.Fprintf(os.Stderr, "%s: %s\n", refused.Code(), refused.Message())
		} else {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
}

func run(target, directory string) error {
	// Unary calls that failed for want of a server are repeated by gRPC itself.
	config, err := os.ReadFile(filepath.Join(proto(), "headrace/v1/service_config.json"))
	if err != nil {
		return err
	}
	// Newer versions of gRPC have NewClient and insecure.NewCredentials for these two.
	connection, err := grpc.Dial(target, grpc.WithInsecure(), grpc.WithDefaultServiceConfig(string(config)))
	if err != nil {
		return err
	}
	defer connection.Close()
	jobs := headrace.NewJobServiceClient(connection)

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	submitted, err := jobs.SubmitJob(ctx, &headrace.SubmitJobRequest{
		RequestId: unique(), // the same id gives the same job, however often this is sent
		Spec: &headrace.JobSpec{
			Type: "files.checksum",
			Parameters: map[string]*headrace.Value{
				"path":   {Kind: &headrace.Value_StringValue{StringValue: directory}},
				"passes": {Kind: &headrace.Value_IntValue{IntValue: 2}},
			},
			Labels: map[string]string{"from": "go"},
		},
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "submitted", submitted.Job.JobId)

	job, err := watch(context.Background(), jobs, submitted.Job.JobId, tell)
	if err != nil {
		return err
	}
	if job.Status != headrace.JobStatus_JOB_STATUS_SUCCEEDED {
		return fmt.Errorf("%s: %s", name(job.Status), job.GetError().GetMessage())
	}
	fmt.Println(job.Result.GetStringValue())
	return nil
}

// watch tells every update of a job and returns it as it ended. A watch that broke goes on behind the last event.
func watch(ctx context.Context, jobs headrace.JobServiceClient, id string, tell func(*headrace.JobUpdate)) (*headrace.JobInfo, error) {
	request := &headrace.WatchJobRequest{JobId: id, IncludeMessages: true} // no revision: a snapshot first
	heard := time.Now()
	for {
		stream, err := jobs.WatchJob(ctx, request)
		for err == nil {
			var answer *headrace.WatchJobResponse
			if answer, err = stream.Recv(); err != nil {
				break
			}
			heard = time.Now()
			update := answer.Update
			if finished := update.GetFinished(); finished != nil {
				return finished, nil
			}
			if snapshot := update.GetSnapshot(); snapshot != nil {
				request.AfterRevision = &snapshot.Revision
			} else if event := update.GetEvent(); event != nil {
				request.AfterRevision = &event.Revision
			}
			tell(update)
		}
		code := status.Code(err)
		passes := code == codes.Unavailable || code == codes.Canceled || errors.Is(err, io.EOF) // it ended too soon
		if !passes || time.Since(heard) > patience {
			return nil, err
		}
		time.Sleep(500 * time.Millisecond)
	}
}

func tell(update *headrace.JobUpdate) {
	switch {
	case update.GetEvent().GetStatusChanged() != nil:
		fmt.Fprintln(os.Stderr, name(update.GetEvent().Status))
	case update.GetEvent().GetMessageLogged() != nil:
		fmt.Fprintln(os.Stderr, update.GetEvent().GetMessageLogged().Text)
	case update.GetProgress() != nil:
		fmt.Fprintln(os.Stderr, update.GetProgress().Done, "of", update.GetProgress().GetTotal())
	}
}

func name(status headrace.JobStatus) string {
	return strings.TrimPrefix(status.String(), "JOB_STATUS_")
}

func unique() string {
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		panic(err)
	}
	return fmt.Sprintf("%x", id)
}

func proto() string {
	if given := os.Getenv("HEADRACE_PROTO"); given != "" {
		return given
	}
	return "../../../proto"
}

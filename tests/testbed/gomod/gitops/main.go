// Command gitops does to Kubernetes objects what GitOps tools do, by their own libraries.
//
// It reads objects from standard input, as YAML or JSON, and writes one line of JSON about each of them to standard
// output, in the same order. The API server is that of KUBECONFIG.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Objects that are worked on at once.
const concurrency = 8

// An answer is what a tool says of one object.
type answer struct {
	// In the tool's own words.
	Result string `json:"result"`
	// For people; of a difference, what the tool would change.
	Message string `json:"message,omitempty"`
}

// A step does something with one object.
type step func(ctx context.Context, object *unstructured.Unstructured) (answer, error)

// For what leaves nothing behind.
func nothing() {}

// What can be asked for, with the names of its arguments. Each is prepared once for all objects, and cleaned up after.
var commands = []struct {
	name      string
	arguments []string
	prepare   func(arguments []string) (step, func(), error)
}{
	{"argocd-sync", []string{"client|server"}, argoSync},
	{"argocd-diff", []string{"client|server|structured"}, argoDiff},
	{"argocd-health", []string{"SCRIPT"}, argoHealth},
	{"flux-apply", nil, fluxApply},
	{"flux-diff", nil, fluxDiff},
	{"kstatus", nil, kstatus},
}

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "gitops:", err)
		os.Exit(1)
	}
}

func run(arguments []string, in io.Reader, out io.Writer) error {
	for _, command := range commands {
		if len(arguments) != 1+len(command.arguments) || arguments[0] != command.name {
			continue
		}
		step, cleanUp, err := command.prepare(arguments[1:])
		if err != nil {
			return err
		}
		defer cleanUp()
		objects, err := read(in)
		if err != nil {
			return err
		}
		return each(objects, step, out)
	}
	return errors.New("usage:" + usage())
}

func usage() string {
	var text strings.Builder
	for _, command := range commands {
		text.WriteString("\n  gitops " + strings.Join(append([]string{command.name}, command.arguments...), " "))
	}
	return text.String()
}

func read(in io.Reader) ([]*unstructured.Unstructured, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(bufio.NewReader(in), 4096)
	var objects []*unstructured.Unstructured
	for {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(object); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, err
		}
		objects = append(objects, object)
	}
}

// Each object is answered for, whatever becomes of the others: an error is an answer, too.
func each(objects []*unstructured.Unstructured, step step, out io.Writer) error {
	answers := make([]answer, len(objects))
	group, ctx := errgroup.WithContext(context.Background())
	group.SetLimit(concurrency)
	for i, object := range objects {
		group.Go(func() error {
			var err error
			if answers[i], err = step(ctx, object); err != nil {
				answers[i] = answer{Result: "Error", Message: err.Error()}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	encoder := json.NewEncoder(out)
	for _, answer := range answers {
		if err := encoder.Encode(answer); err != nil {
			return err
		}
	}
	return nil
}

func config() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 100, 200
	return config, nil
}

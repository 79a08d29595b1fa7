package main

import (
	"context"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/diff"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/kube"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/tracing"
	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
)

// The name under which Argo CD's controller writes.
const argoManager = "argocd-controller"

func argo() (*kube.KubectlCmd, *rest.Config, error) {
	config, err := config()
	return &kube.KubectlCmd{Log: logr.Discard(), Tracer: tracing.NopTracer{}}, config, err
}

// A sync, with `kubectl apply` on the client or on the server.
func argoSync(arguments []string) (step, func(), error) {
	kubectl, config, err := argo()
	if err != nil {
		return nil, nil, err
	}
	resources, cleanUp, err := kubectl.ManageResources(config)
	if err != nil {
		return nil, nil, err
	}
	serverSide := arguments[0] == "server"
	return func(ctx context.Context, object *unstructured.Unstructured) (answer, error) {
		said, err := resources.ApplyResource(ctx, object, cmdutil.DryRunNone, false, true, serverSide, argoManager)
		return answer{Result: "Synced", Message: said}, err
	}, cleanUp, nil
}

// Argo CD leaves the status out of comparisons, unless its settings say otherwise.
type withoutStatus struct{}

// Normalize implements diff.Normalizer.
func (withoutStatus) Normalize(object *unstructured.Unstructured) error {
	unstructured.RemoveNestedField(object.Object, "status")
	return nil
}

// What Argo CD shows as out of sync.
func argoDiff(arguments []string) (step, func(), error) {
	kubectl, config, err := argo()
	if err != nil {
		return nil, nil, err
	}
	_, parser, err := kubectl.LoadOpenAPISchema(config)
	if err != nil {
		return nil, nil, err
	}
	applier, cleanUp, err := kubectl.ManageServerSideDiffDryRuns(config)
	if err != nil {
		return nil, nil, err
	}
	options := []diff.Option{
		diff.WithLogr(logr.Discard()),
		diff.WithManager(argoManager),
		diff.WithNormalizer(withoutStatus{}),
		diff.WithGVKParser(parser),
		diff.WithStructuredMergeDiff(arguments[0] == "structured"),
		diff.WithServerSideDiff(arguments[0] == "server"),
		diff.WithServerSideDryRunner(diff.NewK8sServerSideDryRunner(applier)),
	}
	return func(ctx context.Context, object *unstructured.Unstructured) (answer, error) {
		live, err := kubectl.GetResource(ctx, config, object.GroupVersionKind(), object.GetName(), object.GetNamespace())
		if err != nil {
			return answer{}, err
		}
		result, err := diff.Diff(object, live, options...)
		if err != nil {
			return answer{}, err
		}
		if !result.Modified {
			return answer{Result: "Synced"}, nil
		}
		patch, err := jsonpatch.CreateMergePatch(result.NormalizedLive, result.PredictedLive)
		return answer{Result: "OutOfSync", Message: string(patch)}, err
	}, cleanUp, nil
}

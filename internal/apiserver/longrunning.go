package apiserver

import (
	"context"
	"net/http"
	"time"

	"github.com/emicklei/go-restful/v3"
	imagev1 "github.com/openshift/api/image/v1"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"

	"weir.dev/weir/internal/imageapi"
)

// LongRunning marks imports: they take as long as the registries they ask, so
// the deadline of other requests and the limit of requests in flight are not
// theirs. It goes into the configuration of the server that takes the requests.
func LongRunning(_ *http.Request, info *apirequest.RequestInfo) bool {
	return info != nil && info.IsResourceRequest && info.APIGroup == imagev1.GroupName &&
		info.Resource == imageapi.ImageStreamImports && info.Verb == "create"
}

// handlerDeadline is just below what k8s.io/apiserver sets for every create; see
// patientContext.
const handlerDeadline = 33 * time.Second

// patientContext ends with its parent and at no other time, though it reports a
// deadline. The generic create handler puts 34 seconds on every request by
// context.WithTimeout, which starts no timer below a parent that ends sooner:
// this parent says that it does. What the handler does before and after the
// import (admission webhooks, encoding) sees a deadline as usual; the import
// itself has its own.
type patientContext struct {
	context.Context
	deadline time.Time
}

func (c patientContext) Deadline() (time.Time, bool) { return c.deadline, true }

// beOfPatience has imports live as long as their client waits.
func beOfPatience(request *restful.Request, response *restful.Response, chain *restful.FilterChain) {
	if info, ok := apirequest.RequestInfoFrom(request.Request.Context()); ok && LongRunning(request.Request, info) {
		ctx := patientContext{request.Request.Context(), time.Now().Add(handlerDeadline)}
		request.Request = request.Request.WithContext(ctx)
	}
	chain.ProcessFilter(request, response)
}

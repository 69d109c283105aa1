// Search where the site is opened as a file: browsers start no workers there, so the script of one runs in a hidden frame.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.started = new Promise((resolve) => {
        const frame = document.createElement("iframe");
        frame.hidden = true;
        frame.onload = () => {
          const scope = frame.contentWindow;
          scope.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
          const script = scope.document.createElement("script");
          script.src = url;
          script.onload = () => resolve(scope);
          scope.document.body.append(script);
        };
        document.body.append(frame);
      });
    }

    async postMessage(data) {
      const scope = await this.started;
      scope.dispatchEvent(new scope.MessageEvent("message", { data }));
    }
  };
}

/* A search that finds nothing is made once more, for words that differ from those that were typed by a letter or two. */
{
  const QUERY = 2, RESULT = 3; // kinds of messages between the page and its search
  const Strict = window.Worker;
  const distance = (word) => (word.length < 5 ? 0 : word.length < 9 ? 1 : 2);
  const forgiving = (query) =>
    query.replace(/\S+/g, (word) => (distance(word) && /^[\w-]+$/.test(word) ? `${word}~${distance(word)}` : word));

  window.Worker = class extends Strict {
    #query = "";

    constructor(...where) {
      super(...where);
      this.addEventListener("message", (event) => {
        const {type, data} = event.data;
        const query = this.#query, wider = forgiving(query);
        if (type !== RESULT || data.items.length || wider === query) return;
        event.stopImmediatePropagation();
        this.postMessage({type: QUERY, data: wider});
      });
    }

    postMessage(message) {
      if (message.type === QUERY) this.#query = message.data;
      super.postMessage(message);
    }
  };
}

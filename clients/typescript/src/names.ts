/**
 * Ids and tags. In a cluster, and on a server with tagged keys, a reservation has to be in the slot of its products, so its id
 * carries their tag: `{SHOE}:order-1` for the product `SHOE`, and `{shop7}:order-1` for `{shop7}:SHOE`.
 */

/** The tag of a product, sku or reservation: what is in its braces, or the whole name. */
export function tagOf(name: string): string {
  return /^[^{]*\{([^}]+)\}/su.exec(name)?.[1] ?? name;
}

/** A name with this tag: `tagged("shop7", "order-1")` is `{shop7}:order-1`. */
export function tagged(tag: string, name: string): string {
  return `{${tag}}:${name}`;
}

/**
 * A new id for a reservation, or a new token, with a tag if one is given. It is a UUID, version 7, so later ids sort after
 * earlier ones. If an order has a number, that is the better id: it is the same when the process starts again.
 */
export function newId(tag?: string): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const view = new DataView(bytes.buffer);
  const now = Date.now();
  view.setUint32(0, Math.floor(now / 2 ** 16));
  view.setUint16(4, now % 2 ** 16);
  view.setUint8(6, 0x70 | (view.getUint8(6) & 0x0f));
  view.setUint8(8, 0x80 | (view.getUint8(8) & 0x3f));
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const id = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
  return tag === undefined ? id : tagged(tag, id);
}

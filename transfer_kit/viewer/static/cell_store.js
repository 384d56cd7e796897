// Nuclei cell by cell, as they come into view. See Cells.packed for the form of a cell.

import { getBuffer, isAborted } from "./api.js";

const MOST_CELLS = 600;
const AT_ONCE = 6;

export class CellStore {
  // `layout` has the side of a cell and the numbers of rows and columns.
  constructor(address, layout, loaded, failed) {
    Object.assign(this, { address, layout, loaded, failed });
    this.cells = new Map();
    this.queue = [];
    this.running = 0;
    this.closing = new AbortController();
  }

  close() {
    this.closing.abort();
    this.queue = [];
  }

  // The cells of a window that are here; the others are asked for.
  in(window) {
    const names = this.namesIn(window);
    this.queue = names.filter((name) => !this.cells.has(name));
    this.work();
    const here = [];
    for (const name of names) {
      const cell = this.cells.get(name);
      if (!cell) continue;
      this.cells.delete(name);
      this.cells.set(name, cell);
      here.push(cell);
    }
    return here;
  }

  namesIn({ left, top, right, bottom }) {
    const { side, rows, columns } = this.layout;
    const cell = (value, count) => Math.min(Math.max(Math.floor(value / side), 0), count - 1);
    const names = [];
    for (let row = cell(top, rows); row <= cell(bottom, rows); row++) {
      for (let column = cell(left, columns); column <= cell(right, columns); column++) {
        names.push(`${column}_${row}`);
      }
    }
    return names;
  }

  work() {
    while (this.running < AT_ONCE && this.queue.length) {
      const name = this.queue.shift();
      if (this.cells.has(name)) continue;
      this.running++;
      this.load(name).finally(() => {
        this.running--;
        this.work();
      });
    }
  }

  async load(name) {
    this.cells.set(name, null);
    try {
      const options = { signal: this.closing.signal };
      this.cells.set(name, unpacked(await getBuffer(`${this.address}/${name}`, options)));
      while (this.cells.size > MOST_CELLS) this.cells.delete(this.cells.keys().next().value);
      this.loaded();
    } catch (error) {
      this.cells.delete(name);
      if (!isAborted(error)) this.failed(error);
    }
  }
}

export function unpacked(buffer) {
  let at = 0;
  const take = (type, length) => {
    const part = new type(buffer, at, length);
    at += part.byteLength;
    return part;
  };
  const [count, first] = take(Uint32Array, 2);
  const cell = { count, first };
  for (const name of ["x", "y", "scores"]) cell[name] = take(Float32Array, count);
  cell.kinds = take(Uint32Array, count);
  const [rings] = take(Uint32Array, 1);
  cell.owners = take(Uint32Array, rings);
  cell.starts = take(Uint32Array, rings + 1);
  cell.corners = take(Float32Array, 2 * cell.starts[rings]);
  return cell;
}

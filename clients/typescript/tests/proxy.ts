// A proxy that loses answers: the server carries a command out, and the client does not hear of it.

import { createConnection, createServer, type AddressInfo, type Server } from "node:net";

export class Proxy {
  lost = 0;
  readonly #server: Server;
  #command = "";
  #times = 0;

  constructor(host: string, port: number) {
    this.#server = createServer((client) => {
      const server = createConnection(port, host);
      let isLost = false;
      client.on("data", (data) => {
        if (this.#times > 0 && data.includes(this.#command)) {
          this.#times--;
          this.lost++;
          isLost = true;
        }
        server.write(data);
      });
      server.on("data", (data) => {
        // The answer shows that the server has carried it out.
        if (isLost) client.destroy();
        else client.write(data);
      });
      const end = (): void => {
        client.destroy();
        server.destroy();
      };
      for (const socket of [client, server]) socket.on("close", end).on("error", end);
    });
  }

  /** Opens it, and returns its port. */
  open(): Promise<number> {
    return new Promise((resolve) => {
      this.#server.listen(0, "127.0.0.1", () => resolve((this.#server.address() as AddressInfo).port));
    });
  }

  /** Loses the next answers to this command. */
  lose(command: string, times: number): void {
    this.#command = command;
    this.#times = times;
  }

  close(): void {
    this.#server.close();
  }
}

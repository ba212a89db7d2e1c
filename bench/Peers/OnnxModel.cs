using System.Runtime.InteropServices;
using System.Text;

namespace CudaLora.Peers;

/// <summary>
/// A graph of F32 matrices in ONNX's protobuf (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto): only the fields
/// that a runtime asks for.
/// </summary>
internal sealed class OnnxModel
{
    private const int Float = 1;
    private const int IrVersion = 8;
    private const int OperatorSet = 17;

    private readonly Message graph = new();

    /// <summary>A node without attributes.</summary>
    public void Node(string op, string output, params string[] inputs)
    {
        var node = new Message();
        foreach (var input in inputs)
            node.Text(1, input);
        graph.Part(1, node.Text(2, output).Text(4, op));
    }

    /// <summary>Constant values (rows, columns).</summary>
    public void Constant(string name, int rows, int columns, float[] values) => graph.Part(
        5, new Message().Number(1, rows).Number(1, columns).Number(2, Float).Text(8, name)
            .Bytes(9, MemoryMarshal.AsBytes(values.AsSpan())));

    public void Input(string name, int rows, int columns) => graph.Part(11, Value(name, rows, columns));

    public void Output(string name, int rows, int columns) => graph.Part(12, Value(name, rows, columns));

    /// <summary>The file.</summary>
    public byte[] ToArray()
    {
        graph.Text(2, "peers");
        return new Message().Number(1, IrVersion).Part(7, graph)
            .Part(8, new Message().Text(1, "").Number(2, OperatorSet)).ToArray();
    }

    private static Message Value(string name, int rows, int columns)
    {
        Message Extent(int extent) => new Message().Number(1, extent);
        var shape = new Message().Part(1, Extent(rows)).Part(1, Extent(columns));
        var type = new Message().Part(1, new Message().Number(1, Float).Part(2, shape));
        return new Message().Text(1, name).Part(2, type);
    }

    /// <summary>Numbered fields one after the other.</summary>
    private sealed class Message
    {
        private readonly MemoryStream stream = new();

        public Message Number(int field, long value)
        {
            Varint((ulong)field << 3);
            Varint((ulong)value);
            return this;
        }

        public Message Bytes(int field, ReadOnlySpan<byte> value)
        {
            Varint(((ulong)field << 3) | 2);
            Varint((ulong)value.Length);
            stream.Write(value);
            return this;
        }

        public Message Text(int field, string value) => Bytes(field, Encoding.UTF8.GetBytes(value));

        public Message Part(int field, Message value) => Bytes(field, value.ToArray());

        public byte[] ToArray() => stream.ToArray();

        private void Varint(ulong value)
        {
            for (; value >= 0x80; value >>= 7)
                stream.WriteByte((byte)(value | 0x80));
            stream.WriteByte((byte)value);
        }
    }
}

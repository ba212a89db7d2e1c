namespace CudaLora.Engine;

/// <summary>
/// A device has no room for a tensor. The message says what was asked, what is in use and what helps.
/// </summary>
public sealed class DeviceMemoryException : Exception
{
    /// <summary>An exception without a message.</summary>
    public DeviceMemoryException()
    {
    }

    /// <summary>An exception with what was asked, in use and free.</summary>
    public DeviceMemoryException(string message)
        : base(message)
    {
    }

    /// <summary>An exception with its cause.</summary>
    public DeviceMemoryException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
